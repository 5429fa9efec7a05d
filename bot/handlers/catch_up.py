"""Find every row whose effect is missing, and request the job that brings it about.

Such rows are an installation that was not listed for a day, a head or a verdict that no check run shows, a run that
was not reported, and a comment that is behind. This needs no memory of what failed, only of when the same job was last
tried, which is once a day at most. It is the second net: the first is the queue itself, which retries for days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bot.jobs.arguments import (
    JobArguments,
    PostJob,
    ReplyAboutRun,
    ReplyWithText,
    RunEnded,
    ScreenJob,
    request,
)
from bot.jobs.context import Parts
from bot.records import JobKind
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.database import Connection
from bot.store.installations import recall_installations
from bot.store.jobs import request_job
from bot.store.repositories import all_repositories, load_repository
from bot.store.screenings import newest_screening
from bot.store.unfinished import (
    Ids,
    jobs_about,
    outdated_replies,
    reopen_failed_deliveries,
    revive_failing,
    unanswered_repositories,
    unlisted_installations,
    unreported_runs,
)

log = structlog.get_logger(__name__)

PERIOD: Final = timedelta(minutes=5)
TRY_EVERY: Final = timedelta(days=1)
LIST_EVERY: Final = timedelta(days=1)
LOOK_BACK: Final = timedelta(days=30)  # as long as job rows are kept
BOOKMARK: Final = "unfinished looked for"


async def catch_up(parts: Parts) -> None:
    """Look for missing effects, once in five minutes. Workers that look at the same time request the same jobs."""
    now = parts.clock.now()
    async with parts.database.read() as connection:
        if not _is_due(await load_bookmark(connection, BOOKMARK), now):
            return
    async with parts.database.write() as connection:
        await save_bookmark(connection, BOOKMARK, now.isoformat())
        found = await request_missing(connection, now)
    parts.hooks.swept("effect", found)
    if found:
        log.info("unfinished_found", count=found)


async def request_missing(connection: Connection, now: datetime, *, every: timedelta = TRY_EVERY) -> int:
    """Request a job for each missing effect that was not tried within `every`, and return their number."""
    requests = [
        *await _unlisted(connection, now, every),
        *await _unanswered(connection, now, every),
        *await _unreported(connection, now, every),
        *await _outdated(connection, now, every),
    ]
    for ids, job in requests:
        if job is None:
            await request_job(connection, *ids, "sync_installation", now)
        else:
            await request(connection, *ids, job, now)
    return len(requests)


async def resume(connection: Connection, now: datetime) -> int:
    """Try again now whatever waits, failed or was given up, and return the number of jobs and deliveries."""
    count = await revive_failing(connection, now) + await reopen_failed_deliveries(connection)
    for installation_id, memory in (await recall_installations(connection)).items():
        if memory.last_error:
            await request_job(connection, installation_id, 0, "sync_installation", now)
            count += 1
    for repository in await all_repositories(connection):
        ids = repository.repository.installation_id, repository.repository.repository_id
        newest = await newest_screening(connection, *ids)
        if newest is not None and newest.failure:
            await request(connection, *ids, ScreenJob(force=True), now)
        elif repository.last_error:
            await request(connection, *ids, PostJob(look=True), now)
        else:
            continue
        count += 1
    return count + await request_missing(connection, now, every=timedelta())


Wanted = tuple[Ids, JobArguments | None]  # none: list the installation


async def _unlisted(connection: Connection, now: datetime, every: timedelta) -> list[Wanted]:
    found = [(number, 0) for number in await unlisted_installations(connection, now - LIST_EVERY)]
    return [(ids, None) for ids in found if not await _tried(connection, ids, ["sync_installation"], now, every)]


async def _unanswered(connection: Connection, now: datetime, every: timedelta) -> list[Wanted]:
    wanted: list[Wanted] = []
    for ids in await unanswered_repositories(connection):
        memory = await load_repository(connection, *ids)
        if memory is None:
            continue
        since = max((at for at in (memory.measured_at, memory.pushed_at) if at is not None), default=None)
        kinds: list[JobKind] = ["post"] if memory.measured_at is not None else ["post", "screen"]
        if not await _tried(connection, ids, kinds, now, every, since=since):
            wanted.append((ids, PostJob()))
    return wanted


async def _unreported(connection: Connection, now: datetime, every: timedelta) -> list[Wanted]:
    return [
        (ids, RunEnded(run_id))
        for ids, run_id, since in await unreported_runs(connection, now - LOOK_BACK)
        if not await _tried(connection, ids, ["result"], now, every, since=since, about={"run_id": run_id})
    ]


async def _outdated(connection: Connection, now: datetime, every: timedelta) -> list[Wanted]:
    wanted: list[Wanted] = []
    for ids, reply_id, run_id, since in await outdated_replies(connection, now - LOOK_BACK):
        job = ReplyAboutRun(run_id) if run_id else ReplyWithText(reply_id)
        if not await _tried(connection, ids, ["reply"], now, every, since=since, about=job.dump()):
            wanted.append((ids, job))
    return wanted


async def _tried(
    connection: Connection,
    ids: Ids,
    kinds: Sequence[JobKind],
    now: datetime,
    every: timedelta,
    *,
    since: datetime | None = None,
    about: Mapping[str, Any] | None = None,
) -> bool:
    """Return whether such a job is at work, or ended within `every` and after the effect was due."""
    for job in await jobs_about(connection, ids, kinds, now - every):
        if about is not None and any(job.arguments.get(name) != value for name, value in about.items()):
            continue
        if job.finished_at is None or since is None or job.finished_at >= since:
            return True
    return False


def _is_due(bookmark: object, now: datetime) -> bool:
    """Return whether the period has passed; a malformed bookmark, or one of the future, counts as never."""
    try:
        looked_at = datetime.fromisoformat(str(bookmark))
        return not timedelta() <= now - looked_at < PERIOD
    except (ValueError, TypeError):
        return True
