"""Record a handler's outcome: done, rescheduled or failed; nothing if the lease was lost."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import structlog

from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.jobs.failures import save_failure
from bot.jobs.lease import RunningJob, Stopping, Yielding
from bot.jobs.retry import MAX_ATTEMPTS, Again, Failed, Gone, Paused, decide, error_fields, is_bug, pause
from bot.jobs.shares import YIELD_PAUSE
from bot.store.installations import set_installation_state
from bot.store.jobs import LostLease, finish_job, request_job, reschedule_job

log = structlog.get_logger(__name__)

SUSPENDED_PAUSE: Final = timedelta(hours=1)


async def settle(running: RunningJob) -> str:
    """Wait for the handler and record its outcome. Return the outcome as one word, for logs and metrics."""
    context = running.context
    try:
        outcome = await running.outcome()
    except LostLease:
        return "lost"
    except Stopping:
        return await _written(_reschedule(context, Again(context.now(), "the worker stopped", counts=False)), "stopped")
    except Yielding:
        again = Again(context.now() + YIELD_PAUSE, "another installation was waiting", counts=False)
        return await _written(_reschedule(context, again), "yielded")
    except Exception as error:  # the outermost handler of a job: every error ends up in its row
        return await _settle_error(context, error)
    return "done" if context.concluded else await _settle_outcome(context, outcome)


async def _settle_outcome(context: JobContext, outcome: Outcome) -> str:
    match outcome:
        case Done(reason):
            return await _written(_finish(context, reason), "done")
        case Later(not_before, reason):
            return await _written(_reschedule(context, Again(not_before, reason, counts=False)), "later")


async def _settle_error(context: JobContext, error: Exception) -> str:
    job = context.job
    decision = decide(error, job.attempts, context.now(), random.uniform(0.5, 1.5))
    details = error_fields(error) if is_bug(error) else {"reason": decision.reason}
    log.warning("job_attempt_failed", job_id=job.job_id, kind=job.kind, attempts=job.attempts, **details)
    match decision:
        case Again():
            return await _written(_reschedule(context, decision), "again")
        case Paused(reason):
            return await _written(_suspend(context, reason), "later")
        case Gone(reason):
            return await _written(_check_existence(context, reason), "again")
        case Failed(reason):
            return await _written(_fail(context, reason), "failed")


async def _written(writing: Awaitable[None], word: str) -> str:
    """Return `word` once written. On failure the lease expires, and the sweeper reopens the job."""
    try:
        await writing
    except LostLease:
        return "lost"
    except Exception as error:  # the database may be down, and reports that in many ways
        log.error("job_not_settled", **error_fields(error))
        return "unwritten"
    return word


async def _finish(context: JobContext, reason: str) -> None:
    async with context.parts.database.write() as connection:
        await finish_job(connection, context.job, "done", context.now(), reason)


async def _reschedule(context: JobContext, again: Again) -> None:
    async with context.parts.database.write() as connection:
        await reschedule_job(connection, context.job, again.at, again.reason, counts=again.counts)


async def _suspend(context: JobContext, reason: str) -> None:
    """Pause the installation. The response may predate the end of the suspension, so request a sync of its state."""
    async with context.effect() as connection:
        await set_installation_state(connection, context.installation_id, "suspended")
        if context.job.kind != "sync_installation":
            await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
        await reschedule_job(connection, context.job, context.now() + SUSPENDED_PAUSE, reason, counts=False)


async def _check_existence(context: JobContext, reason: str) -> None:
    """Request a sync, which decides whether anything is deleted, and retry this job meanwhile."""
    job = context.job
    async with context.effect() as connection:
        if job.repository_id and job.kind != "sync_repository":
            await request_job(connection, job.installation_id, job.repository_id, "sync_repository", context.now())
        elif job.kind != "sync_installation":
            await request_job(connection, job.installation_id, 0, "sync_installation", context.now())
        if job.attempts < MAX_ATTEMPTS:
            await reschedule_job(connection, job, context.now() + pause(job.attempts), reason, counts=True)
        else:
            await finish_job(connection, job, "failed", context.now(), reason)


async def _fail(context: JobContext, reason: str) -> None:
    async with context.effect() as connection:
        await save_failure(connection, context.job, reason, context.now())
        await finish_job(connection, context.job, "failed", context.now(), reason)
