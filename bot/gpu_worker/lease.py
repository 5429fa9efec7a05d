"""Hold a run while it trains: renew its lease, notice when it must stop, and save its progress.

Training continues while the database is unavailable: the lease may expire meanwhile, and its ownership is checked once
the database is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import structlog

from bot.clock import Clock
from bot.jobs.retry import error_fields
from bot.records import Run
from bot.run_progress import Pace
from bot.store.database import Database
from bot.store.jobs import LostLease, request_job
from bot.store.runs import Renewal, note_checkpoint, note_progress, renew_run

log = structlog.get_logger(__name__)

PROGRESS_EVERY_S: Final = 5.0
REPLY_EVERY_S: Final = 15.0
RETRY_EVERY_S: Final = 1.0

# Why an attempt must stop.
StopReason = Literal["lost", "cancelled", "timed_out"]


class RunLease:
    """The lease of one attempt at one run."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        run: Run,
        *,
        lease_s: float,
        renew_every_s: float,
        max_minutes: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._run = run
        self._lease_s = lease_s
        self.renew_every_s = renew_every_s
        self._max_minutes = max_minutes
        self._started_s = time.monotonic()

    def spent_minutes(self) -> float:
        """Return the minutes spent in all attempts, including this one so far."""
        return self._run.spent_minutes + (time.monotonic() - self._started_s) / 60

    async def hold(self) -> StopReason:
        """Renew the lease until the attempt must stop; return why."""
        while True:
            pause_s = self.renew_every_s
            try:
                async with asyncio.timeout(self._lease_s / 2):
                    renewal = await self._renew()
            except Exception as problem:  # any database error: ownership is checked when the database is back
                log.warning("lease_renewal_failed", run_id=self._run.run_id, **error_fields(problem))
                pause_s = min(pause_s, RETRY_EVERY_S)  # renew before a sweep finds the lease expired
            else:
                if not renewal.held:
                    return "lost"
                if renewal.cancel_asked:
                    return "cancelled"
            if self.spent_minutes() > self._max_minutes:
                return "timed_out"
            await asyncio.sleep(pause_s)

    async def _renew(self) -> Renewal:
        until = datetime.now(UTC) + timedelta(seconds=self._lease_s)
        async with self._database.write() as connection:
            return await renew_run(connection, self._run, until, self.spent_minutes())


class ProgressWriter:
    """Saves progress and checkpoints of the training process in the database, at a bounded rate."""

    def __init__(self, database: Database, clock: Clock, run: Run) -> None:
        self._database = database
        self._clock = clock
        self._run = run
        self._checkpoints: list[str] = []
        self._progress: Mapping[str, Any] | None = None
        self._changed = asyncio.Event()
        self._save_pace = Pace(PROGRESS_EVERY_S)
        self._reply_pace = Pace(REPLY_EVERY_S)

    def receive(self, name: str, value: Any) -> None:
        """Accept a "progress", which replaces an unsaved one, or a "checkpoint", which is kept until it is saved."""
        if name == "checkpoint":
            self._checkpoints.append(str(value))
        elif not self._save_pace.is_due(value, time.monotonic()):
            return
        else:
            self._progress = value
        self._changed.set()

    async def keep_saving(self) -> StopReason:
        """Save whatever arrives until the lease is lost."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.save()
            except LostLease:
                return "lost"
            except Exception as problem:  # retry: a checkpoint that is not recorded cannot be resumed from
                log.warning("progress_save_failed", run_id=self._run.run_id, **error_fields(problem))
                self._changed.set()
                await asyncio.sleep(RETRY_EVERY_S)

    async def save(self) -> None:
        """Save what has arrived. Raises LostLease, and StoreUnavailable, after which it can be saved again."""
        checkpoints, progress = list(self._checkpoints), self._progress
        if not checkpoints and progress is None:
            return
        run, now = self._run, self._clock.now()
        async with self._database.write() as connection:
            for sha256 in checkpoints:
                await note_checkpoint(connection, run, sha256)
            if progress is not None:
                await note_progress(connection, run, progress, now)
                if self._reply_pace.is_due(progress, time.monotonic()):
                    key, arguments = str(run.run_id), {"run_id": run.run_id}
                    await request_job(
                        connection, run.installation_id, run.repository_id, "reply", now, key=key, arguments=arguments
                    )
        del self._checkpoints[: len(checkpoints)]
        if self._progress is progress:
            self._progress = None
