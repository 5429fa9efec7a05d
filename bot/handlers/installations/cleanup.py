"""Every ten minutes: delete what is too old to be kept, and files and folders that no row knows any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from bot.handlers.installations.artifact_purge import purge_artifacts
from bot.handlers.installations.orphans import remove_orphans
from bot.jobs.context import Done, JobContext, Outcome
from bot.store.budgets import forget_gpu_workers
from bot.store.content_writes import forget_writes
from bot.store.deliveries import purge_deliveries
from bot.store.jobs import purge_jobs

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
