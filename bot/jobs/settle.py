"""However a handler ends, its row is left as it should be: done, put off, failed, or to whoever holds the lease now."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import structlog

from bot.jobs.context import Done, Later, Outcome, Work
from bot.jobs.failures import remember_failure
from bot.jobs.lease import Running, Stopping
from bot.jobs.retry import MOST_ATTEMPTS, Again, Failed, Gone, Paused, decide, is_a_bug, pause, told
from bot.store.installations import set_installation_state
from bot.store.jobs import LostLease, finish_job, put_off_job, request_job

log = structlog.get_logger(__name__)

SUSPENDED_PAUSE: Final = timedelta(hours=1)


async def settle(running: Running) -> str:
    """Wait for the handler and write down what came of the job. Returns one word, for logs and metrics."""
    work = running.work
    try:
        outcome = await running.outcome()
    except LostLease:
        return "lost"
    except Stopping:
        return await _written(_put_off(work, Again(work.now(), "the worker stopped", counts=False)), "stopped")
    except Exception as error:  # the outermost handler of a job: whatever it was becomes a row that says so
        return await _after(work, error)
    return "done" if work.concluded else await _as_it_says(work, outcome)


async def _as_it_says(work: Work, outcome: Outcome) -> str:
    match outcome:
        case Done(reason):
            return await _written(_finish(work, reason), "done")
        case Later(not_before, reason):
            return await _written(_put_off(work, Again(not_before, reason, counts=False)), "later")


async def _after(work: Work, error: Exception) -> str:
    """The handler raised."""
    job = work.job
    decision = decide(error, job.attempts, work.now(), random.uniform(0.5, 1.5))
    said = told(error) if is_a_bug(error) else {"reason": decision.reason}
    log.warning("job_hindered", job_id=job.job_id, kind=job.kind, attempts=job.attempts, **said)
    match decision:
        case Again():
            return await _written(_put_off(work, decision), "again")
        case Paused(reason):
            return await _written(_suspend(work, reason), "later")
        case Gone(reason):
            return await _written(_ask_whether_it_is_gone(work, reason), "again")
        case Failed(reason):
            return await _written(_fail(work, reason), "failed")


async def _written(writing: Awaitable[None], word: str) -> str:
    """`word`, unless it could not be written: then the row's lease runs out, and the sweeper opens it again."""
    try:
        await writing
    except LostLease:
        return "lost"
    except Exception as problem:  # the database is away, in whatever way it says so
        log.error("job_not_settled", **told(problem))
        return "unwritten"
    return word


async def _finish(work: Work, reason: str) -> None:
    async with work.parts.database.write() as connection:
        await finish_job(connection, work.job, "done", work.now(), reason)


async def _put_off(work: Work, again: Again) -> None:
    async with work.parts.database.write() as connection:
        await put_off_job(connection, work.job, again.at, again.reason, counts=again.counts)


async def _suspend(work: Work, reason: str) -> None:
    """An answer may be older than the end of the suspension that it tells of: GitHub is asked how it is now."""
    async with work.effect() as connection:
        await set_installation_state(connection, work.installation_id, "suspended")
        if work.job.kind != "sync_installation":
            await request_job(connection, work.installation_id, 0, "sync_installation", work.now())
        await put_off_job(connection, work.job, work.now() + SUSPENDED_PAUSE, reason, counts=False)


async def _ask_whether_it_is_gone(work: Work, reason: str) -> None:
    """One "not found" deletes nothing: another job asks about the whole; this one is tried again meanwhile."""
    job = work.job
    async with work.effect() as connection:
        if job.repository_id and job.kind != "sync_repository":
            await request_job(connection, job.installation_id, job.repository_id, "sync_repository", work.now())
        elif job.kind != "sync_installation":
            await request_job(connection, job.installation_id, 0, "sync_installation", work.now())
        if job.attempts < MOST_ATTEMPTS:
            await put_off_job(connection, job, work.now() + pause(job.attempts), reason, counts=True)
        else:
            await finish_job(connection, job, "failed", work.now(), reason)


async def _fail(work: Work, reason: str) -> None:
    async with work.effect() as connection:
        await remember_failure(connection, work.job, reason, work.now())
        await finish_job(connection, work.job, "failed", work.now(), reason)
