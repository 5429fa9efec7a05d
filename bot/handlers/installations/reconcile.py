"""Every hour and when a worker starts, compare the installations with GitHub's, and request failed deliveries again.

GitHub tries a delivery once and redelivers it for three days on request. A delivery that got a 2xx is stored, so the
sweeper takes care of it; events that no row of the dispatch table handles are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from bot.github.errors import NotFound, Rejected
from bot.handlers.installations.allowed import AllowedAccounts, load_allowed
from bot.jobs.context import Done, JobContext, Outcome
from bot.receiver.dispatch import find_row
from bot.records import Installation, InstallationMemory
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.deliveries import handled_guids
from bot.store.installations import list_installations, recall_installations
from bot.store.jobs import request_job
from bot.store.repositories import all_repositories

log = structlog.get_logger(__name__)

BOOKMARK: Final = "deliveries reconciled until"


async def reconcile(context: JobContext) -> Outcome:
    """Request a sync of every installation that differs, and the redelivery of what failed."""
    if not context.parts.app_id():
        return Done("the App is not registered yet")
    await _compare_installations(context)
    now, github = context.now(), context.parts.github
    async with context.parts.database.read() as connection:
        cursor = parse_cursor(await load_bookmark(connection, BOOKMARK))
    sent = [delivery async for delivery in github.deliveries(search_start(cursor, now))]
    async with context.parts.database.read() as connection:
        handled = await handled_guids(connection, failed_guids(sent))
    redeliveries = decide_redeliveries(sent, handled, now)
    for delivery_id in redeliveries.ids:
        try:
            await github.redeliver(delivery_id)
        except (NotFound, Rejected) as error:  # too old by now, which the others may not be
            log.info("not_redelivered", github_delivery_id=delivery_id, problem=type(error).__name__)
    async with context.conclusion(f"{len(redeliveries.ids)} redeliveries requested") as connection:
        await save_bookmark(connection, BOOKMARK, redeliveries.cursor.isoformat())
    return Done()


async def _compare_installations(context: JobContext) -> None:
    """Catch up with lost events and with changes to the accounts that the operator serves."""
    theirs = await context.parts.github.installations()
    async with context.effect() as connection:
        ours = await list_installations(connection)
        allowed = await load_allowed(connection, context.parts.policy.allowed_accounts)
        memories = await recall_installations(connection)
        grace = timedelta(days=context.parts.policy.refused_days)
        due = {number for number, memory in memories.items() if _is_over(memory, grace, context.now())}
        forgettable = {m.repository.installation_id for m in await all_repositories(connection)} & due
        for installation_id in sorted({*drifted(ours, theirs, allowed), *forgettable}):
            await request_job(connection, installation_id, 0, "sync_installation", context.now())


def _is_over(memory: InstallationMemory, grace: timedelta, now: datetime) -> bool:
    return memory.refused_at is not None and memory.refused_at + grace <= now


def drifted(ours: Iterable[Installation], theirs: Iterable[Installation], allowed: AllowedAccounts) -> list[int]:
    """Return the installations that GitHub describes differently, or that only one side knows."""
    known = {installation.installation_id: installation for installation in ours}
    present = {
        installation.installation_id: installation
        if allowed.serves(installation)
        else replace(installation, state="refused")
        for installation in theirs
    }
    return sorted(number for number in known.keys() | present.keys() if known.get(number) != present.get(number))


def parse_cursor(value: object) -> datetime | None:
    """Parse the time in the bookmark; None if it is missing or malformed."""
    try:
        cursor = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return cursor if cursor is not None and cursor.tzinfo is not None else None


KEPT_FOR: Final = timedelta(days=3)  # by GitHub
OVERLAP: Final = timedelta(hours=1)  # for entries that GitHub lists late, and for clocks that differ
MAX_REDELIVERIES: Final = 100  # per job


class Attempt(Protocol):
    """One of GitHub's attempts to deliver."""

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
    """The redeliveries to request, and where the next search starts."""

    ids: tuple[int, ...]  # of the newest attempts, which are those that GitHub redelivers
    cursor: datetime


def search_start(cursor: datetime | None, now: datetime) -> datetime:
    """Return the time from which GitHub's list has to be read."""
    earliest = now - KEPT_FOR
    return earliest if cursor is None else max(earliest, min(cursor, now) - OVERLAP)


def failed_guids(sent: Iterable[Attempt]) -> set[str]:
    """Return the deliveries of which every attempt failed; some of them may be in the store nevertheless."""
    return {guid for guid, attempts in _by_guid(sent).items() if _failed(attempts)}


def decide_redeliveries(
    sent: Iterable[Attempt], handled: Collection[str], now: datetime, limit: int = MAX_REDELIVERIES
) -> Redeliveries:
    """Select at most `limit` redeliveries and move the cursor.

    Those with the fewest attempts come first, then the oldest, so that one that keeps failing blocks no other. The
    cursor stays before the oldest missing delivery.
    """
    missing = [
        attempts
        for guid, attempts in _by_guid(sent).items()
        if guid not in handled and _failed(attempts) and attempts[-1].delivered_at > now - KEPT_FOR
    ]
    missing.sort(key=lambda attempts: (len(attempts), attempts[0].delivered_at, attempts[0].id))
    oldest = min((attempts[0].delivered_at for attempts in missing), default=now)
    return Redeliveries(tuple(attempts[-1].id for attempts in missing[:limit]), min(now, oldest))


def _by_guid(sent: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Group the attempts of the deliveries that the dispatch table handles, oldest first."""
    by_guid: dict[str, list[Attempt]] = {}
    for attempt in sent:
        row = find_row(attempt.event, attempt.action)
        if row is not None and row.job is not None:
            by_guid.setdefault(attempt.guid, []).append(attempt)
    for attempts in by_guid.values():
        attempts.sort(key=lambda attempt: (attempt.delivered_at, attempt.id))
    return by_guid


def _failed(attempts: list[Attempt]) -> bool:
    """Return whether every attempt failed. One that arrived is enough, whatever followed it."""
    return not any(200 <= attempt.status_code < 300 for attempt in attempts)
