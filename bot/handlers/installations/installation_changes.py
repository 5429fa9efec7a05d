"""Which deliveries to ask GitHub for again: those that it could not hand over while this server was away.

GitHub tries once, and gives a delivery again for three days if it is asked to. A 2xx is trusted: it is answered once
the delivery is on disk, and what becomes of it then is the sweeper's. What no row of the table answers is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from bot.receiver.dispatch import find_row

KEPT_FOR: Final = timedelta(days=3)  # by GitHub
OVERLAP: Final = timedelta(hours=1)  # what GitHub lists late, and clocks that differ
MOST_REDELIVERIES: Final = 100  # at once


class Sent(Protocol):
    """One attempt of GitHub's to deliver."""

    @property
    def id(self) -> int: ...
    @property
    def guid(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def delivered_at(self) -> datetime: ...
    @property
    def status_code(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Redeliveries:
    """What to ask for, and from where to look the next time."""

    ids: tuple[int, ...]  # of the newest attempts, which is what GitHub redelivers
    cursor: datetime


def look_since(cursor: datetime | None, now: datetime) -> datetime:
    """From when on GitHub's list is to be read."""
    earliest = now - KEPT_FOR
    return earliest if cursor is None else max(earliest, min(cursor, now) - OVERLAP)


def failed_guids(sent: Iterable[Sent]) -> set[str]:
    """The deliveries that may have to be asked for: of these the store is asked which are handled."""
    return {guid for guid, attempts in _by_guid(sent).items() if _failed(attempts)}


def decide_redeliveries(
    sent: Iterable[Sent], handled: Collection[str], now: datetime, most: int = MOST_REDELIVERIES
) -> Redeliveries:
    """At most `most`, those tried least often first and of these the oldest, so that none that fails time and again
    keeps another one back. The cursor stays before the oldest that is still missing."""
    missing = [
        attempts
        for guid, attempts in _by_guid(sent).items()
        if guid not in handled and _failed(attempts) and attempts[-1].delivered_at > now - KEPT_FOR
    ]
    missing.sort(key=lambda attempts: (len(attempts), attempts[0].delivered_at, attempts[0].id))
    oldest = min((attempts[0].delivered_at for attempts in missing), default=now)
    return Redeliveries(tuple(attempts[-1].id for attempts in missing[:most]), min(now, oldest))


def _by_guid(sent: Iterable[Sent]) -> dict[str, list[Sent]]:
    """The attempts of each delivery that some row answers, oldest first."""
    found: dict[str, list[Sent]] = {}
    for attempt in sent:
        row = find_row(attempt.event, attempt.action)
        if row is not None and row.job is not None:
            found.setdefault(attempt.guid, []).append(attempt)
    for attempts in found.values():
        attempts.sort(key=lambda attempt: (attempt.delivered_at, attempt.id))
    return found


def _failed(attempts: list[Sent]) -> bool:
    """Did every attempt fail? One that arrived is enough, whatever happened to the ones after it."""
    return not any(200 <= attempt.status_code < 300 for attempt in attempts)
