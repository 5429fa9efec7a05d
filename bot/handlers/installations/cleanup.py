"""Every ten minutes: delete what is too old to be kept, and files and folders that no row knows any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import structlog

from bot.disk.artifacts import Stored
from bot.jobs.context import Done, JobContext, Outcome, Parts
from bot.records import Run
from bot.runs.active_ranking import active_ranking
from bot.store.budgets import forget_gpu_workers
from bot.store.content_writes import forget_writes
from bot.store.deliveries import purge_deliveries
from bot.store.jobs import purge_jobs
from bot.store.repositories import all_repositories, load_repository
from bot.store.runs import forget_artifacts, runs_of
from pipeline.finetuning.artifact_store import StoreError

log = structlog.get_logger(__name__)

ROWS_ARE_KEPT: Final = timedelta(days=30)
GPU_WORKERS_ARE_KEPT: Final = timedelta(days=30)  # that are not seen any more
WRITES_ARE_KEPT: Final = timedelta(hours=2)  # GitHub's longest window is one hour


async def purge(context: JobContext) -> Outcome:
    now = context.now()
    async with context.effect() as connection:
        await purge_deliveries(connection, now - ROWS_ARE_KEPT)
        await purge_jobs(connection, now - ROWS_ARE_KEPT)
        await forget_writes(connection, now - WRITES_ARE_KEPT)
        await forget_gpu_workers(connection, now - GPU_WORKERS_ARE_KEPT)
    removed = await remove_orphans(context.parts) + await purge_artifacts(context.parts)
    return Done(f"{removed} folders or files removed" if removed else "")


async def purge_artifacts(parts: Parts) -> int:
    """Delete it; how much there was. A store that does not work is looked at again the next time."""
    try:
        contents = await asyncio.to_thread(parts.artifacts.contents)
        removed = 0
        for ids, of_one in groupby(contents, lambda stored: (stored.installation_id, stored.repository_id)):
            removed += await _purge_one(parts, ids, list(of_one))
        return removed
    except StoreError as problem:
        log.warning("artifacts_not_purged", problem=str(problem))
        return 0


async def _purge_one(parts: Parts, ids: tuple[int, int], contents: Sequence[Stored]) -> int:
    """Of one repository. Its rows are read after the store: what came meanwhile is not in `contents`."""
    async with parts.database.read() as connection:
        memory = await load_repository(connection, *ids)
        runs = await runs_of(connection, *ids)
    if memory is None:
        await asyncio.to_thread(parts.artifacts.remove_repository, *ids)
        return 1
    kept = timedelta(days=parts.policy.artifacts_days)
    unneeded = leavings(contents, runs, parts.clock.now(), kept)
    await _forget(parts, unneeded, runs)
    for stored in unneeded:
        await asyncio.to_thread(parts.artifacts.remove, stored)
    return len(unneeded)


async def _forget(parts: Parts, unneeded: Iterable[Stored], runs: Iterable[Run]) -> None:
    """Rows first: nothing refers to files that are not there."""
    gone = {(stored.run_id, stored.name) for stored in unneeded if stored.kind == "done"}
    for run in runs:
        if (run.run_id, _lease_of(run)) in gone:
            async with parts.database.write() as connection:
                await forget_artifacts(connection, run)


def leavings(contents: Iterable[Stored], runs: Sequence[Run], now: datetime, kept: timedelta) -> list[Stored]:
    """What of the contents nobody needs. `runs` are all of the repository."""
    by_id = {run.run_id: run for run in runs}
    in_use = _in_use(runs)

    def is_needed(stored: Stored) -> bool:
        if not stored.kind:
            return True
        if stored.kind == "pairs":
            return any(run.state == "waiting" or run.pair_set_id == stored.name for run in runs if _is_open(run))
        run = by_id.get(stored.run_id)
        if run is None or _is_open(run):
            return run is not None
        if stored.kind == "checkpoints" or stored.name != _lease_of(run):
            return False
        return run.run_id in in_use or now - (run.ended_at or run.made_at) < kept

    return [stored for stored in contents if not is_needed(stored)]


def _in_use(runs: Sequence[Run]) -> set[int]:
    """The run whose adapter ranks the repository now, and its newest training once more."""
    in_force = active_ranking(runs)
    if not in_force.by_adapter:
        return set()
    return {run.run_id for run in (in_force.judged, in_force.refit) if run is not None}


def _is_open(run: Run) -> bool:
    return run.state != "ended"


def _lease_of(run: Run) -> str:
    """The last part of `Run.artifacts`."""
    return run.artifacts.rstrip("/").rpartition("/")[2]


async def remove_orphans(parts: Parts) -> int:
    """Delete them from this machine's disk; how many there were. Every worker does so, for each may have its own disk.

    A row is looked for once more before its folder goes, since a repository may have come between the two looks.
    """
    removed = 0
    async with parts.database.read() as connection:
        known = {(m.repository.installation_id, m.repository.repository_id) for m in await all_repositories(connection)}
    for installation_id, repository_id in await asyncio.to_thread(parts.clones.orphans, known):
        async with parts.database.read() as connection:
            memory = await load_repository(connection, installation_id, repository_id)
        if memory is None:
            await asyncio.to_thread(parts.clones.remove, installation_id, repository_id)
            removed += 1
    return removed
