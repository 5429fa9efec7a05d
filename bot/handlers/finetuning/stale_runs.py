"""No run stays open for ever: whoever looks after the jobs that nobody does looks after the runs as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from bot.jobs.context import Parts
from bot.messages.reasons import (
    CANCELLED_WITH_WORKER,
    NO_GPU_WORKER,
    WORKER_VANISHED,
    not_prepared,
    worker_vanished,
)
from bot.records import Job, Run, RunEnding
from bot.runs.end_run import end_and_tell
from bot.store.jobs import recent_jobs, request_job
from bot.store.runs import all_runs, expired_runs, ready_runs, requeue_run

log = structlog.get_logger(__name__)

MOST_WAKEUPS: Final = 50
MOST_VANISHED: Final = 5  # GPU workers, of one run
QUEUED_AT_MOST: Final = timedelta(days=14)


@dataclass(frozen=True)
class Seen:
    """What one look finds; nearly always nothing but what is ready."""

    some_vanished: bool
    stranded: list[tuple[Run, str]]  # waiting, and nobody prepares them any more: why
    unwanted: list[Run]
    ready: list[int]


async def sweep_runs(parts: Parts) -> None:
    """Once: requeue or end what vanished workers held, end what nobody will do, announce what waits."""
    async with parts.database.read() as connection:
        seen = await _look(connection, parts.clock.now())
    if seen.some_vanished:
        await _after_vanished_workers(parts)
    for run, reason in seen.stranded:
        await _end(parts, run, "crashed", reason)
    for run in seen.unwanted:
        await _end(parts, run, "refused", NO_GPU_WORKER)
    await parts.announcer.announce_runs(seen.ready)


async def _look(connection: Any, now: datetime) -> Seen:
    waiting = [(run, await _jobs_of(connection, run)) for run in await all_runs(connection, "waiting")]
    queued = await all_runs(connection, "queued")
    return Seen(
        some_vanished=bool(await expired_runs(connection, datetime.now(UTC))),
        stranded=[(run, why_unprepared(jobs)) for run, jobs in waiting if not is_open(jobs)],
        unwanted=[run for run in queued if now - (run.queued_at or run.made_at) > QUEUED_AT_MOST],
        ready=await ready_runs(connection, now, MOST_WAKEUPS),
    )


async def _end(parts: Parts, run: Run, ending: RunEnding, reason: str) -> None:
    """Unless somebody was faster."""
    async with parts.database.write() as connection:
        await end_and_tell(connection, run, ending, reason, parts.clock.now())


async def _after_vanished_workers(parts: Parts) -> None:
    async with parts.database.write() as connection:
        expired = await expired_runs(connection, datetime.now(UTC))
        for run in expired:
            await _requeue_or_end(connection, run, parts.clock.now())
    parts.hooks.swept("run", len(expired))


async def _requeue_or_end(connection: Any, run: Run, now: datetime) -> None:
    log.warning("gpu_worker_vanished", run_id=run.run_id, worker=run.worker, attempts=run.attempts)
    if run.cancel_asked:
        await end_and_tell(connection, run, "cancelled", CANCELLED_WITH_WORKER, now)
    elif run.attempts >= MOST_VANISHED:
        await end_and_tell(connection, run, "crashed", worker_vanished(run.attempts), now)
    elif await requeue_run(connection, run, WORKER_VANISHED, now):
        mine = run.installation_id, run.repository_id
        key, arguments = str(run.run_id), {"run_id": run.run_id}
        await request_job(connection, *mine, "reply", now, key=key, arguments=arguments)


async def _jobs_of(connection: Any, run: Run) -> list[Job]:
    jobs = await recent_jobs(connection, run.installation_id, run.repository_id, "prepare", run.made_at)
    return [job for job in jobs if job.arguments.get("run_id") == run.run_id]


def is_open(jobs: list[Job]) -> bool:
    return any(job.state in ("open", "running") for job in jobs)


def why_unprepared(jobs: list[Job]) -> str:
    return not_prepared(next((job.reason for job in jobs if job.reason), ""))
