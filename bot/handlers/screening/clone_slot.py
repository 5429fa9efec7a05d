"""The folder of a repository while a child works in it: there is room for a clone, and nobody evicts it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bot.jobs.context import JobContext
from bot.sandbox.screening_task import ScreeningFailed
from pipeline.git.errors import DiskFull


@dataclass(frozen=True, slots=True)
class Room:
    folder: Path
    most_bytes: int  # of a pack


@contextlib.asynccontextmanager
async def clone_slot(context: JobContext) -> AsyncIterator[Room]:
    """Raises ScreeningFailed where there is no room, or where other clones take what this one needs."""
    clones, ids = context.parts.clones, (context.installation_id, context.repository_id)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, clones.in_use(*ids))
        try:
            folder = await asyncio.to_thread(clones.prepare, *ids)
            most_bytes = await asyncio.to_thread(clones.room_for, context.installation_id)
        except DiskFull as problem:
            raise ScreeningFailed("disk_full", str(problem)) from None
        try:
            yield Room(folder, most_bytes)
        except ScreeningFailed as failure:
            if failure.kind == "too_large" and most_bytes < context.parts.policy.pack_limit_bytes:
                raise ScreeningFailed("disk_full", "other clones take the room that it needs") from None
            raise
        finally:
            await asyncio.to_thread(clones.mark_used, *ids)
