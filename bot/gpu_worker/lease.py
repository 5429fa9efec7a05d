"""Hold a run while it is trained: renew its lease, watch for its end, and write down how far it is.

A database that is away ends nothing: the process trains on, the lease may run out meanwhile, and whose it is then is
seen when the database is back.
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

BEATS_A_LEASE: Final = 6
PROGRESS_EVERY_S: Final = 5.0
REPLY_EVERY_S: Final = 15.0
TRIED_AGAIN_S: Final = 1.0

# Why a run must not go on.
Over = Literal["lost", "cancelled", "timed_out"]


class RunLease:
    """Of one attempt at one run."""

    def __init__(self, database: Database, clock: Clock, run: Run, *, lease_s: float, most_minutes: float) -> None:
        self._database = database
        self._clock = clock
        self._run = run
        self._lease_s = lease_s
        self._most_minutes = most_minutes
        self._begun_s = time.monotonic()

    @property
    def beat_s(self) -> float:
        return self._lease_s / BEATS_A_LEASE

    def spent_minutes(self) -> float:
        """Of all attempts, this one up to now."""
        return self._run.spent_minutes + (time.monotonic() - self._begun_s) / 60

    async def keep(self) -> Over:
        """Returns when the run must not go on."""
        while True:
            pause_s = self.beat_s
            try:
                async with asyncio.timeout(self._lease_s / 2):
                    renewal = await self._renew()
            except Exception as problem:  # whatever a database raises: whose the run is will be seen when it answers
                log.warning("lease_not_renewed", run_id=self._run.run_id, **error_fields(problem))
                pause_s = min(pause_s, TRIED_AGAIN_S)  # to be there before anybody finds that the lease has run out
            else:
                if not renewal.held:
                    return "lost"
                if renewal.cancel_asked:
                    return "cancelled"
            if self.spent_minutes() > self._most_minutes:
                return "timed_out"
            await asyncio.sleep(pause_s)

    async def _renew(self) -> Renewal:
        until = datetime.now(UTC) + timedelta(seconds=self._lease_s)
        async with self._database.write() as connection:
            return await renew_run(connection, self._run, until, self.spent_minutes())


class ProgressWriter:
    """What the process that trains says of itself, on its way into the database."""

    def __init__(self, database: Database, clock: Clock, run: Run) -> None:
        self._database = database
        self._clock = clock
        self._run = run
        self._checkpoints: list[str] = []
        self._progress: Mapping[str, Any] | None = None
        self._news = asyncio.Event()
        self._written = Pace(PROGRESS_EVERY_S)
        self._replied = Pace(REPLY_EVERY_S)

    def hear(self, name: str, value: Any) -> None:
        """`progress` takes the place of what was not written yet; a `checkpoint` is kept until it is."""
        if name == "checkpoint":
            self._checkpoints.append(str(value))
        elif not self._written.is_due(value, time.monotonic()):
            return
        else:
            self._progress = value
        self._news.set()

    async def keep_writing(self) -> Over:
        """Returns when the lease is lost."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.write_down()
            except LostLease:
                return "lost"
            except Exception as problem:  # the database is away: a checkpoint that is not noted would be worth nothing
                log.warning("progress_not_written", run_id=self._run.run_id, **error_fields(problem))
                self._news.set()
                await asyncio.sleep(TRIED_AGAIN_S)

    async def write_down(self) -> None:
        """What there is. Raises LostLease, and StoreUnavailable with nothing forgotten."""
        checkpoints, progress = list(self._checkpoints), self._progress
        if not checkpoints and progress is None:
            return
        run, now = self._run, self._clock.now()
        async with self._database.write() as connection:
            for sha256 in checkpoints:
                await note_checkpoint(connection, run, sha256)
            if progress is not None:
                await note_progress(connection, run, progress, now)
                if self._replied.is_due(progress, time.monotonic()):
                    key, arguments = str(run.run_id), {"run_id": run.run_id}
                    await request_job(
                        connection, run.installation_id, run.repository_id, "reply", now, key=key, arguments=arguments
                    )
        del self._checkpoints[: len(checkpoints)]
        if self._progress is progress:
            self._progress = None
