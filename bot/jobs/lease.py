"""Run one job under its lease: a heartbeat renews the lease, and stops the handler on a lost lease or a timeout."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.context import Handler, JobContext, Outcome
from bot.jobs.retry import TimedOut
from bot.store.jobs import LostLease, renew_lease

log = structlog.get_logger(__name__)

LIGHT_TIMEOUT_S: Final = 900.0
CLEANUP_S: Final = 15.0


class Stopping(Exception):
    """The worker is stopping: the job returns to the queue as if it had never started."""


class Yielding(Exception):
    """Another installation waits for the slot: the job returns to the queue for a while."""


class RunningJob:
    """A job in progress, and the means to stop it."""

    def __init__(self, context: JobContext, handler: Handler) -> None:
        self.context = context
        self.stopped_by: Exception | None = None
        self.began_s = time.monotonic()
        self._task = asyncio.create_task(_call(handler, context))

    def stop(self, reason: Exception) -> None:
        if self.stopped_by is None and not self._task.done():
            self.stopped_by = reason
            self._task.cancel()

    async def outcome(self) -> Outcome:
        """Return the handler's outcome. Raises what the handler raised, or the reason for which it was stopped."""
        heartbeat = asyncio.create_task(self._beat())
        try:
            await self._wait()
        except asyncio.CancelledError:
            self.stop(Stopping())
            await self._wait()
        finally:
            await cancel_and_wait([heartbeat])
        if self.stopped_by is not None and self._task.cancelled():
            raise self.stopped_by
        return self._task.result()

    async def _wait(self) -> None:
        """Wait for the handler, which may need time to clean up; repeat a cancellation that it swallowed."""
        while not self._task.done():
            await asyncio.wait([self._task], timeout=CLEANUP_S)
            if self.stopped_by is not None:
                self._task.cancel()

    async def _beat(self) -> None:
        """Renew the lease in real time. While the database is down the lease counts as held until it expires."""
        policy, kind = self.context.parts.policy, self.context.job.kind
        began_s = renewed_s = time.monotonic()
        timeout_s = 2 * policy.screening_s if kind == "screen" else LIGHT_TIMEOUT_S  # the child has a shorter one
        while True:
            await asyncio.sleep(policy.heartbeat_s)
            if time.monotonic() - began_s > timeout_s:
                return self.stop(TimedOut())
            try:
                async with asyncio.timeout(policy.lease_s / 2):
                    held = await _renew(self.context)
            except Exception as error:  # whatever the database raises, only the age of the lease matters
                log.warning("lease_not_renewed", job_id=self.context.job.job_id, problem=type(error).__name__)
                held = time.monotonic() - renewed_s < policy.lease_s
            else:
                renewed_s = time.monotonic()
            if not held:
                return self.stop(LostLease(self.context.job.job_id))


async def _call(handler: Handler, context: JobContext) -> Outcome:
    return await handler(context)


async def _renew(context: JobContext) -> bool:
    until = datetime.now(UTC) + timedelta(seconds=context.parts.policy.lease_s)
    async with context.parts.database.write() as connection:
        return await renew_lease(connection, context.job, until)
