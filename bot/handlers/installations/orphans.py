"""Folders of repositories that no row knows any more: what was still being cloned when its repository was removed."""

from __future__ import annotations

import asyncio

from bot.jobs.context import Parts
from bot.store.repositories import all_repositories, load_repository


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
