"""Record a handler's outcome: done, rescheduled or failed; nothing if the lease was lost."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import structlog

from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.jobs.failures import save_error, save_failure
from bot.jobs.lease import RunningJob, Stopping, Yielding
from bot.jobs.retry import MAX_ATTEMPTS, Again, Failed, Gone, Paused, decide, error_fields, is_bug, pause, probe_at
from bot.jobs.shares import YIELD_PAUSE
from bot.store.installations import set_installation_state
from bot.store.jobs import LostLease, finish_job, request_job, reschedule_job
from bot.store.unfinished import next_failing, revive_failing

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
    word = "done" if context.concluded else await _settle_outcome(context, outcome)
    if word == "done" and context.job.failing_since is not None:
        await _revive(context)
    return word


async def _settle_outcome(context: JobContext, outcome: Outcome) -> str:
    match outcome:
        case Done(reason):
            return await _written(_finish(context, reason), "done")
        case Later(not_before, reason):
            return await _written(_reschedule(context, Again(not_before, reason, counts=False)), "later")


async def _settle_error(context: JobContext, error: Exception) -> str:
    job = context.job
    jitter = random.uniform(0.5, 1.5)
    decision = decide(error, job.attempts, context.now(), jitter, job.failing_since)
    details = error_fields(error) if is_bug(error) else {"reason": decision.reason}
    log.warning("job_attempt_failed", job_id=job.job_id, kind=job.kind, attempts=job.attempts, **details)
    match decision:
        case Again(outage=True):
            return await _written(_wait_for_github(context, decision, jitter), "again")
        case Again():
            return await _written(_reschedule(context, decision), "again")
        case Paused(reason):
            return await _written(_suspend(context, reason), "later")
        case Gone(reason):
            return await _written(_check_existence(context, reason), "again")
        case Failed(reason, outage):
            return await _written(_fail(context, reason, outage=outage), "failed")


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
    async with context.conclusion(reason):
        pass


async def _reschedule(context: JobContext, again: Again) -> None:
    since = None if again.counts else context.job.failing_since
    async with context.parts.database.write() as connection:
        await reschedule_job(connection, context.job, again.at, again.reason, counts=again.counts, failing_since=since)


async def _wait_for_github(context: JobContext, again: Again, jitter: float) -> None:
    """Wait until GitHub or the network is back. From the second failed attempt on the reason is shown."""
    job, now = context.job, context.now()
    async with context.effect() as connection:
        at = probe_at(again, await next_failing(connection, job.kind), now, jitter)
        if job.failing_since is not None:
            await save_error(connection, job, again.reason)
        since = job.failing_since or now
        await reschedule_job(connection, job, at, again.reason, counts=False, failing_since=since)


async def _revive(context: JobContext) -> None:
    """Let all others try again: GitHub is back. If this fails, their own pauses end within half an hour."""
    try:
        async with context.parts.database.write() as connection:
            revived = await revive_failing(connection, context.now())
    except Exception as error:  # the database may be down, and reports that in many ways
        log.warning("not_revived", **error_fields(error))
        return
    log.info("github_is_back", since=str(context.job.failing_since), jobs=revived)


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
            await save_error(connection, job, reason)
            await finish_job(connection, job, "failed", context.now(), reason)


async def _fail(context: JobContext, reason: str, *, outage: bool) -> None:
    """Fail the job. An outage says nothing about a repository, so it is stored as no screening."""
    async with context.effect() as connection:
        if outage:
            await save_error(connection, context.job, reason)
        else:
            await save_failure(connection, context.job, reason, context.now())
        await finish_job(connection, context.job, "failed", context.now(), reason)
