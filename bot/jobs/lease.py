"""Do one job under its lease: a heartbeat renews it, and stops the handler where the lease is lost or time is up."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.context import Handler, JobContext, Outcome
from bot.jobs.retry import TookTooLong
from bot.store.jobs import LostLease, renew_lease

log = structlog.get_logger(__name__)

LIGHT_TIMEOUT_S: Final = 900.0
TIDYING_S: Final = 15.0


class Stopping(Exception):
    """The worker is told to stop: the job goes back as if it had not been begun."""


class Running:
    """A job that is being done, and the way to stop it."""

    def __init__(self, context: JobContext, handler: Handler) -> None:
        self.context = context
        self.why_stopped: Exception | None = None
        self._task = asyncio.create_task(_call(handler, context))

    def stop(self, why: Exception) -> None:
        if self.why_stopped is None and not self._task.done():
            self.why_stopped = why
            self._task.cancel()

    async def outcome(self) -> Outcome:
        """What the handler answered; raises what it raised, or why it was stopped."""
        beating = asyncio.create_task(self._beat())
        try:
            await self._ended()
        except asyncio.CancelledError:
            self.stop(Stopping())
            await self._ended()
        finally:
            await cancel_and_wait([beating])
        if self.why_stopped is not None and self._task.cancelled():
            raise self.why_stopped
        return self._task.result()

    async def _ended(self) -> None:
        """A handler that was stopped may take a while to tidy up; one that did not hear it hears it again."""
        while not self._task.done():
            await asyncio.wait([self._task], timeout=TIDYING_S)
            if self.why_stopped is not None:
                self._task.cancel()

    async def _beat(self) -> None:
        """Renew the lease, in real time. A database that does not answer counts once the lease has run out."""
        policy, kind = self.context.parts.policy, self.context.job.kind
        begun_s = renewed_s = time.monotonic()
        timeout_s = 2 * policy.screening_s if kind == "screen" else LIGHT_TIMEOUT_S  # a child has its own, shorter one
        while True:
            await asyncio.sleep(policy.heartbeat_s)
            if time.monotonic() - begun_s > timeout_s:
                return self.stop(TookTooLong())
            try:
                async with asyncio.timeout(policy.lease_s / 2):
                    kept = await _renew(self.context)
            except Exception as problem:  # whatever a database raises: what counts is whether the lease still runs
                log.warning("lease_not_renewed", job_id=self.context.job.job_id, problem=type(problem).__name__)
                kept = time.monotonic() - renewed_s < policy.lease_s
            else:
                renewed_s = time.monotonic()
            if not kept:
                return self.stop(LostLease(self.context.job.job_id))


async def _call(handler: Handler, context: JobContext) -> Outcome:
    return await handler(context)


async def _renew(context: JobContext) -> bool:
    until = datetime.now(UTC) + timedelta(seconds=context.parts.policy.lease_s)
    async with context.parts.database.write() as connection:
        return await renew_lease(connection, context.job, until)
