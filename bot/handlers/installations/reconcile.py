"""Every hour and when a worker starts: ask GitHub which installations there are, and which deliveries failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from bot.github.errors import NotFound, Rejected
from bot.handlers.installations.sync import is_allowed
from bot.jobs.context import Done, JobContext, Outcome
from bot.receiver.dispatch import find_row
from bot.records import Installation
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.deliveries import handled_guids
from bot.store.installations import list_installations
from bot.store.jobs import request_job

log = structlog.get_logger(__name__)

BOOKMARK: Final = "deliveries reconciled until"


async def reconcile(context: JobContext) -> Outcome:
    """Compare what GitHub has and sent with what we have and heard."""
    if not context.parts.app_id():
        return Done("the App is not registered yet")
    await _compare_installations(context)
    now, github = context.now(), context.parts.github
    async with context.parts.database.read() as connection:
        cursor = parse_cursor(await load_bookmark(connection, BOOKMARK))
    sent = [delivery async for delivery in github.deliveries(look_since(cursor, now))]
    async with context.parts.database.read() as connection:
        handled = await handled_guids(connection, failed_guids(sent))
    redeliveries = decide_redeliveries(sent, handled, now)
    for delivery_id in redeliveries.ids:
        try:
            await github.redeliver(delivery_id)
        except (NotFound, Rejected) as problem:  # too old by now; the others are not
            log.info("not_redelivered", github_delivery_id=delivery_id, problem=type(problem).__name__)
    async with context.conclusion(f"{len(redeliveries.ids)} asked for again") as connection:
        await save_bookmark(connection, BOOKMARK, redeliveries.cursor.isoformat())
    return Done()


async def _compare_installations(context: JobContext) -> None:
    """Events that were lost for good, and accounts that the operator serves only now or no longer."""
    theirs = await context.parts.github.installations()
    async with context.effect() as connection:
        ours = await list_installations(connection)
        for installation_id in drifted(ours, theirs, context.parts.policy.allowed_accounts):
            await request_job(connection, installation_id, 0, "sync_installation", context.now())


def drifted(ours: Iterable[Installation], theirs: Iterable[Installation], allowed_accounts: Sequence[str]) -> list[int]:
    """The installations that GitHub describes otherwise than we do, or that only one of us knows."""
    known = {installation.installation_id: installation for installation in ours}
    present = {
        installation.installation_id: installation
        if is_allowed(installation, allowed_accounts)
        else replace(installation, state="refused")
        for installation in theirs
    }
    return sorted(number for number in known.keys() | present.keys() if known.get(number) != present.get(number))


def parse_cursor(value: object) -> datetime | None:
    """The time in the bookmark; None where there is none, or one that makes no sense."""
    try:
        cursor = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return cursor if cursor is not None and cursor.tzinfo is not None else None


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
