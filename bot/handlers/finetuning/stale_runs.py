"""Sweep the runs: requeue or end those whose worker vanished, and end those that no worker will prepare or train."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from bot.jobs.arguments import ReplyAboutRun, parse_prepare, request
from bot.jobs.context import Parts
from bot.messages.reasons import (
    CANCELLED_WITH_WORKER,
    NO_GPU_WORKER,
    WORKER_VANISHED,
    not_prepared,
    worker_vanished,
)
from bot.records import Job, Run, RunEnding
from bot.runs.end_run import end_and_report
from bot.store.database import Connection
from bot.store.jobs import recent_jobs
from bot.store.runs import all_runs, expired_runs, ready_runs, requeue_run

log = structlog.get_logger(__name__)

MAX_WAKEUPS: Final = 50
MAX_VANISHED: Final = 5  # GPU workers per run
MAX_QUEUED: Final = timedelta(days=14)


@dataclass(frozen=True)
class Sweep:
    """What one sweep has to act on; almost always only `ready`."""

    has_expired: bool
    stranded: list[tuple[Run, str]]  # waiting without a job that prepares them; and why
    overdue: list[Run]
    ready: list[int]


async def sweep_runs(parts: Parts) -> None:
    """Requeue or end expired runs, end stranded and overdue ones, and announce the ready ones."""
    async with parts.database.read() as connection:
        sweep = await _load(connection, parts.clock.now())
    if sweep.has_expired:
        await _requeue_expired(parts)
    for run, reason in sweep.stranded:
        await _end(parts, run, "crashed", reason)
    for run in sweep.overdue:
        await _end(parts, run, "refused", NO_GPU_WORKER)
    await parts.announcer.announce_runs(sweep.ready)


async def _load(connection: Connection, now: datetime) -> Sweep:
    waiting = [(run, await _jobs_of(connection, run)) for run in await all_runs(connection, "waiting")]
    queued = await all_runs(connection, "queued")
    return Sweep(
        has_expired=bool(await expired_runs(connection, datetime.now(UTC))),
        stranded=[(run, why_unprepared(jobs)) for run, jobs in waiting if not is_open(jobs)],
        overdue=[run for run in queued if now - (run.queued_at or run.made_at) > MAX_QUEUED],
        ready=await ready_runs(connection, now, MAX_WAKEUPS),
    )


async def _end(parts: Parts, run: Run, ending: RunEnding, reason: str) -> None:
    async with parts.database.write() as connection:
        await end_and_report(connection, run, ending, reason, parts.clock.now())


async def _requeue_expired(parts: Parts) -> None:
    async with parts.database.write() as connection:
        expired = await expired_runs(connection, datetime.now(UTC))
        for run in expired:
            await _requeue_or_end(connection, run, parts.clock.now())
    parts.hooks.swept("run", len(expired))


async def _requeue_or_end(connection: Connection, run: Run, now: datetime) -> None:
    log.warning("gpu_worker_vanished", run_id=run.run_id, worker=run.worker, attempts=run.attempts)
    if run.cancel_asked:
        await end_and_report(connection, run, "cancelled", CANCELLED_WITH_WORKER, now)
    elif run.attempts >= MAX_VANISHED:
        await end_and_report(connection, run, "crashed", worker_vanished(run.attempts), now)
    elif await requeue_run(connection, run, WORKER_VANISHED, now):
        await request(connection, run.installation_id, run.repository_id, ReplyAboutRun(run.run_id), now)


async def _jobs_of(connection: Connection, run: Run) -> list[Job]:
    jobs = await recent_jobs(connection, run.installation_id, run.repository_id, "prepare", run.made_at)
    return [job for job in jobs if parse_prepare(job.arguments).run_id == run.run_id]


def is_open(jobs: list[Job]) -> bool:
    return any(job.state in ("open", "running") for job in jobs)


def why_unprepared(jobs: list[Job]) -> str:
    return not_prepared(next((job.reason for job in jobs if job.reason), ""))
