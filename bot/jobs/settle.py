"""However a handler ends, its row is left as it should be: done, put off, failed, or to whoever holds the lease now."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import structlog

from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.jobs.failures import remember_failure
from bot.jobs.lease import Running, Stopping
from bot.jobs.retry import MOST_ATTEMPTS, Again, Failed, Gone, Paused, decide, error_fields, is_a_bug, pause
from bot.store.installations import set_installation_state
from bot.store.jobs import LostLease, finish_job, put_off_job, request_job

log = structlog.get_logger(__name__)

SUSPENDED_PAUSE: Final = timedelta(hours=1)


async def settle(running: Running) -> str:
    """Wait for the handler and write down what came of the job. Returns one word, for logs and metrics."""
    context = running.context
    try:
        outcome = await running.outcome()
    except LostLease:
        return "lost"
    except Stopping:
        return await _written(_put_off(context, Again(context.now(), "the worker stopped", counts=False)), "stopped")
    except Exception as error:  # the outermost handler of a job: whatever it was becomes a row that says so
        return await _after(context, error)
    return "done" if context.concluded else await _as_it_says(context, outcome)


async def _as_it_says(context: JobContext, outcome: Outcome) -> str:
    match outcome:
        case Done(reason):
            return await _written(_finish(context, reason), "done")
        case Later(not_before, reason):
            return await _written(_put_off(context, Again(not_before, reason, counts=False)), "later")


async def _after(context: JobContext, error: Exception) -> str:
    """The handler raised."""
    job = context.job
    decision = decide(error, job.attempts, context.now(), random.uniform(0.5, 1.5))
    said = error_fields(error) if is_a_bug(error) else {"reason": decision.reason}
    log.warning("job_hindered", job_id=job.job_id, kind=job.kind, attempts=job.attempts, **said)
    match decision:
        case Again():
            return await _written(_put_off(context, decision), "again")
        case Paused(reason):
            return await _written(_suspend(context, reason), "later")
        case Gone(reason):
            return await _written(_ask_whether_it_is_gone(context, reason), "again")
        case Failed(reason):
            return await _written(_fail(context, reason), "failed")


async def _written(writing: Awaitable[None], word: str) -> str:
    """`word`, unless it could not be written: then the row's lease runs out, and the sweeper opens it again."""
    try:
        await writing
    except LostLease:
        return "lost"
    except Exception as problem:  # the database is away, in whatever way it says so
        log.error("job_not_settled", **error_fields(problem))
        return "unwritten"
    return word


async def _finish(context: JobContext, reason: str) -> None:
    async with context.parts.database.write() as connection:
        await finish_job(connection, context.job, "done", context.now(), reason)


async def _put_off(context: JobContext, again: Again) -> None:
    async with context.parts.database.write() as connection:
        await put_off_job(connection, context.job, again.at, again.reason, counts=again.counts)


async def _suspend(context: JobContext, reason: str) -> None:
    """An answer may be older than the end of the suspension that it tells of: GitHub is asked how it is now."""
    async with context.effect() as connection:
        await set_installation_state(connection, context.installation_id, "suspended")
        if context.job.kind != "sync_installation":
            await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
        await put_off_job(connection, context.job, context.now() + SUSPENDED_PAUSE, reason, counts=False)


async def _ask_whether_it_is_gone(context: JobContext, reason: str) -> None:
    """One "not found" deletes nothing: another job asks about the whole; this one is tried again meanwhile."""
    job = context.job
    async with context.effect() as connection:
        if job.repository_id and job.kind != "sync_repository":
            await request_job(connection, job.installation_id, job.repository_id, "sync_repository", context.now())
        elif job.kind != "sync_installation":
            await request_job(connection, job.installation_id, 0, "sync_installation", context.now())
        if job.attempts < MOST_ATTEMPTS:
            await put_off_job(connection, job, context.now() + pause(job.attempts), reason, counts=True)
        else:
            await finish_job(connection, job, "failed", context.now(), reason)


async def _fail(context: JobContext, reason: str) -> None:
    async with context.effect() as connection:
        await remember_failure(connection, context.job, reason, context.now())
        await finish_job(connection, context.job, "failed", context.now(), reason)
