"""Every two seconds: announce what waits without a wake-up, open again what a dead worker held, close what is hopeless.

Every worker sweeps; whatever two of them do at once is done once, by the conditions of the statements.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bot.handlers.finetuning.stale_runs import sweep_runs
from bot.handlers.installations.cleanup import remove_orphans
from bot.handlers.server_calibration import follow_server_calibration
from bot.jobs.context import Parts
from bot.jobs.failures import remember_failure
from bot.jobs.retry import MOST_ATTEMPTS, error_fields
from bot.records import Job, JobKind
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.database import Connection
from bot.store.deliveries import unhandled_deliveries
from bot.store.jobs import expired_jobs, fail_job, reopen_job, request_job

log = structlog.get_logger(__name__)

MOST_DELIVERIES: Final = 200
UNANNOUNCED_FOR: Final = timedelta(seconds=2)
CLEANED_EVERY_S: Final = 600.0  # this machine's disk
LOOKED_EVERY_S: Final = 60.0  # at the server's own calibration set
DIED: Final = "the worker that did it ended"
EVERY: Final[dict[JobKind, timedelta]] = {"reconcile": timedelta(hours=1), "purge": timedelta(minutes=10)}


class Sweeper:
    """`announce_ready` announces the jobs; the rest is done here."""

    def __init__(self, parts: Parts, announce_ready: Callable[[], Awaitable[None]]) -> None:
        self._parts = parts
        self._announce_ready = announce_ready

    async def run(self) -> None:
        """Until cancelled. A sweep that fails is followed by the next."""
        starting, cleaned_s, looked_s = True, -math.inf, -math.inf
        while True:
            try:
                await self.sweep(starting=starting)
                starting = False
                if time.monotonic() - looked_s > LOOKED_EVERY_S:
                    looked_s = time.monotonic()
                    await follow_server_calibration(self._parts)
                if time.monotonic() - cleaned_s > CLEANED_EVERY_S:
                    await remove_orphans(self._parts)
                    cleaned_s = time.monotonic()
            except Exception as problem:  # a database that is away, in whatever way it says so
                log.warning("sweep_failed", **error_fields(problem))
            await asyncio.sleep(self._parts.policy.sweep_s)

    async def sweep(self, *, starting: bool = False) -> None:
        """Once. `starting`: whatever is done periodically is done now."""
        await self._reopen_expired()
        await sweep_runs(self._parts)
        await self._ask_for_periodic_jobs(starting)
        await self._announce_ready()
        await self._announce_deliveries()

    async def _announce_deliveries(self) -> None:
        before = self._parts.clock.now() - UNANNOUNCED_FOR
        async with self._parts.database.read() as connection:
            waiting = await unhandled_deliveries(connection, before, MOST_DELIVERIES)
        self._parts.hooks.swept("delivery", len(waiting))
        await self._parts.announcer.announce_deliveries(waiting, unless_waiting=True)

    async def _reopen_expired(self) -> None:
        """Looked for without a lock first: nearly always there is none."""
        real_now = datetime.now(UTC)
        async with self._parts.database.read() as connection:
            if not await expired_jobs(connection, real_now):
                return
        async with self._parts.database.write() as connection:
            expired = await expired_jobs(connection, real_now)
            for job in expired:
                await self._reopen_or_fail(connection, job)
        self._parts.hooks.swept("lease", len(expired))

    async def _reopen_or_fail(self, connection: Connection, job: Job) -> None:
        now = self._parts.clock.now()
        log.warning("lease_ran_out", job_id=job.job_id, kind=job.kind, attempts=job.attempts)
        if job.attempts < MOST_ATTEMPTS:
            await reopen_job(connection, job, now, DIED)
            return
        reason = f"{DIED}, {job.attempts} times in a row"
        if await fail_job(connection, job, now, reason):
            await remember_failure(connection, job, reason, now)

    async def _ask_for_periodic_jobs(self, starting: bool) -> None:
        """One open job of each kind, due when the last one began long enough ago; at once when a worker starts."""
        now = self._parts.clock.now()
        async with self._parts.database.read() as connection:
            due = [
                kind for kind in EVERY if starting or is_due(await load_bookmark(connection, _name(kind)), kind, now)
            ]
        for kind in due:
            async with self._parts.database.write() as connection:
                if starting or is_due(await load_bookmark(connection, _name(kind)), kind, now):
                    await request_job(connection, 0, 0, kind, now)
                    await save_bookmark(connection, _name(kind), now.isoformat())


def is_due(bookmark: object, kind: JobKind, now: datetime) -> bool:
    """Whether a kind of job was asked for too long ago, or never; a bookmark that makes no sense counts as never."""
    try:
        asked_at = datetime.fromisoformat(str(bookmark))
        return now - asked_at >= EVERY[kind] or asked_at - now > EVERY[kind]
    except (ValueError, TypeError):
        return True


def _name(kind: JobKind) -> str:
    return f"asked for {kind}"
