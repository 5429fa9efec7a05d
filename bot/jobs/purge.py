"""Every ten minutes: delete what is too old to be kept, and folders that no row knows any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from bot.jobs.work import Done, Outcome, Work
from bot.store.content_writes import forget_writes
from bot.store.deliveries import purge_deliveries
from bot.store.jobs import purge_jobs
from bot.store.repositories import all_repositories, load_repository

log = structlog.get_logger(__name__)

ROWS_ARE_KEPT: Final = timedelta(days=30)
WRITES_ARE_KEPT: Final = timedelta(hours=2)  # GitHub's longest window is one hour


async def purge(work: Work) -> Outcome:
    now = work.now()
    async with work.effect() as connection:
        await purge_deliveries(connection, now - ROWS_ARE_KEPT)
        await purge_jobs(connection, now - ROWS_ARE_KEPT)
        await forget_writes(connection, now - WRITES_ARE_KEPT)
    removed = await _remove_orphans(work)
    return Done(f"{removed} folders removed" if removed else "")


async def _remove_orphans(work: Work) -> int:
    """What was cloned for a repository that is gone. Its row is looked for once more before its folder goes, since a
    repository may have come between the two looks."""
    clones, removed = work.parts.clones, 0
    async with work.parts.database.read() as connection:
        known = {(m.repository.installation_id, m.repository.repository_id) for m in await all_repositories(connection)}
    for installation_id, repository_id in await asyncio.to_thread(clones.orphans, known):
        async with work.parts.database.read() as connection:
            memory = await load_repository(connection, installation_id, repository_id)
        if memory is None:
            await asyncio.to_thread(clones.remove, installation_id, repository_id)
            removed += 1
    return removed
