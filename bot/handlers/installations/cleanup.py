"""Delete what is no longer needed: old rows, folders without a row, and artifacts that nothing uses.

Artifacts are kept by comparing the store with the rows, so nothing is left behind for good:

- checkpoints: while their run is open
- pairs: while an open run reads them, or is about to
- adapters and results: those of the run that ranks the repository and of its refit; others for some days
- anything of a repository without a row: never
"""

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

ROWS_KEPT_FOR: Final = timedelta(days=30)
GPU_WORKERS_KEPT_FOR: Final = timedelta(days=30)  # after they were last seen
WRITES_KEPT_FOR: Final = timedelta(hours=2)  # GitHub's longest window is one hour


async def purge(context: JobContext) -> Outcome:
    """Delete everything that is no longer needed."""
    now = context.now()
    async with context.effect() as connection:
        await purge_deliveries(connection, now - ROWS_KEPT_FOR)
        await purge_jobs(connection, now - ROWS_KEPT_FOR)
        await forget_writes(connection, now - WRITES_KEPT_FOR)
        await forget_gpu_workers(connection, now - GPU_WORKERS_KEPT_FOR)
    removed = await remove_orphans(context.parts) + await purge_artifacts(context.parts)
    return Done(f"{removed} folders or files removed" if removed else "")


async def remove_orphans(parts: Parts) -> int:
    """Delete this machine's folders of repositories without a row, and return their number.

    Such a folder is left when a repository is removed during its clone. The row is looked up again before its folder
    is deleted, because a repository may have been added meanwhile.
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


async def purge_artifacts(parts: Parts) -> int:
    """Delete unneeded artifacts and return their number. If the store fails, the next purge tries again."""
    try:
        contents = await asyncio.to_thread(parts.artifacts.contents)
        removed = 0
        for ids, stored in groupby(contents, lambda stored: (stored.installation_id, stored.repository_id)):
            removed += await _purge_repository(parts, ids, list(stored))
        return removed
    except StoreError as error:
        log.warning("artifacts_not_purged", problem=str(error))
        return 0


async def _purge_repository(parts: Parts, ids: tuple[int, int], contents: Sequence[Stored]) -> int:
    """Purge one repository. Its rows are read after the store, so newer artifacts are not in `contents`."""
    async with parts.database.read() as connection:
        memory = await load_repository(connection, *ids)
        runs = await runs_of(connection, *ids)
    if memory is None:
        await asyncio.to_thread(parts.artifacts.remove_repository, *ids)
        return 1
    keep_for = timedelta(days=parts.policy.artifacts_days)
    unneeded = find_unneeded(contents, runs, parts.clock.now(), keep_for)
    await _forget(parts, unneeded, runs)
    for stored in unneeded:
        await asyncio.to_thread(parts.artifacts.remove, stored)
    return len(unneeded)


async def _forget(parts: Parts, unneeded: Iterable[Stored], runs: Iterable[Run]) -> None:
    """Clear the rows before the files are deleted, so that no row refers to a missing file."""
    gone = {(stored.run_id, stored.name) for stored in unneeded if stored.kind == "done"}
    for run in runs:
        if (run.run_id, _lease_of(run)) in gone:
            async with parts.database.write() as connection:
                await forget_artifacts(connection, run)


def find_unneeded(contents: Iterable[Stored], runs: Sequence[Run], now: datetime, keep_for: timedelta) -> list[Stored]:
    """Return the artifacts of a repository that nothing needs. `runs` are all of its runs."""
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
        return run.run_id in in_use or now - (run.ended_at or run.made_at) < keep_for

    return [stored for stored in contents if not is_needed(stored)]


def _in_use(runs: Sequence[Run]) -> set[int]:
    """Return the run whose adapter ranks the repository, and its newest refit."""
    active = active_ranking(runs)
    if not active.by_adapter:
        return set()
    return {run.run_id for run in (active.judged, active.refit) if run is not None}


def _is_open(run: Run) -> bool:
    return run.state != "ended"


def _lease_of(run: Run) -> str:
    """Return the last part of `Run.artifacts`."""
    return (run.artifacts or "").rstrip("/").rpartition("/")[2]
