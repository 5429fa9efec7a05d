"""Every two seconds: announce waiting work, reopen expired jobs, fail the hopeless ones, run the sweep tasks.

Every worker sweeps. Concurrent sweeps are harmless: the conditions of the statements let each change happen once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bot.jobs.context import Parts, SweepTask
from bot.jobs.failures import save_failure
from bot.jobs.retry import MAX_ATTEMPTS, error_fields
from bot.records import Job, JobKind
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.database import Connection
from bot.store.deliveries import unhandled_deliveries
from bot.store.jobs import expired_jobs, fail_job, reopen_job, request_job

log = structlog.get_logger(__name__)

MAX_DELIVERIES: Final = 200
UNANNOUNCED_FOR: Final = timedelta(seconds=2)
DIED: Final = "the worker that did it ended"
PERIODS: Final[dict[JobKind, timedelta]] = {"reconcile": timedelta(hours=1), "purge": timedelta(minutes=10)}


class Sweeper:
    """Sweep for one worker. `announce_ready` announces jobs that are due."""

    def __init__(
        self, parts: Parts, announce_ready: Callable[[], Awaitable[None]], tasks: Sequence[SweepTask] = ()
    ) -> None:
        self._parts = parts
        self._announce_ready = announce_ready
        self._tasks = dict.fromkeys(tasks, -math.inf)  # when each began last

    async def run(self) -> None:
        """Sweep until cancelled. A failed sweep is logged, and the next one follows."""
        starting = True
        while True:
            try:
                await self.sweep(starting=starting)
                starting = False
                await self._run_tasks(lambda task: task.every_s > 0)
            except Exception as error:  # the database may be down, and reports that in many ways
                log.warning("sweep_failed", **error_fields(error))
            await asyncio.sleep(self._parts.policy.sweep_s)

    async def sweep(self, *, starting: bool = False) -> None:
        """Sweep once. `starting`: request every periodic job, due or not."""
        await self._reopen_expired()
        await self._run_tasks(lambda task: task.every_s == 0)
        await self._request_periodic_jobs(starting)
        await self._announce_ready()
        await self._announce_deliveries()

    async def _run_tasks(self, wanted: Callable[[SweepTask], bool]) -> None:
        for task, began_s in self._tasks.items():
            if wanted(task) and time.monotonic() - began_s >= task.every_s:
                self._tasks[task] = time.monotonic()
                await task.run(self._parts)

    async def _announce_deliveries(self) -> None:
        before = self._parts.clock.now() - UNANNOUNCED_FOR
        async with self._parts.database.read() as connection:
            waiting = await unhandled_deliveries(connection, before, MAX_DELIVERIES)
        self._parts.hooks.swept("delivery", len(waiting))
        await self._parts.announcer.announce_deliveries(waiting, unless_waiting=True)

    async def _reopen_expired(self) -> None:
        """Read first without a lock: there is hardly ever an expired job."""
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
        log.warning("lease_expired", job_id=job.job_id, kind=job.kind, attempts=job.attempts)
        if job.attempts < MAX_ATTEMPTS:
            await reopen_job(connection, job, now, DIED)
            return
        reason = f"{DIED}, {job.attempts} times in a row"
        if await fail_job(connection, job, now, reason):
            await save_failure(connection, job, reason, now)

    async def _request_periodic_jobs(self, starting: bool) -> None:
        """Request each kind when its period has passed, and when a worker starts. Only one job per kind is open."""
        now = self._parts.clock.now()
        async with self._parts.database.read() as connection:
            due = [
                kind for kind in PERIODS if starting or is_due(await load_bookmark(connection, _name(kind)), kind, now)
            ]
        for kind in due:
            async with self._parts.database.write() as connection:
                if starting or is_due(await load_bookmark(connection, _name(kind)), kind, now):
                    await request_job(connection, 0, 0, kind, now)
                    await save_bookmark(connection, _name(kind), now.isoformat())


def is_due(bookmark: object, kind: JobKind, now: datetime) -> bool:
    """Return whether the period of `kind` has passed since the bookmark; a malformed bookmark counts as never."""
    try:
        requested_at = datetime.fromisoformat(str(bookmark))
        return now - requested_at >= PERIODS[kind] or requested_at - now > PERIODS[kind]
    except (ValueError, TypeError):
        return True


def _name(kind: JobKind) -> str:
    return f"asked for {kind}"
