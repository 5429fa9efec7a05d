"""Reserve a repository's folder for a child process: room for a clone, safe from eviction."""

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
class CloneSlot:
    folder: Path
    max_bytes: int  # limit on a pack


@contextlib.asynccontextmanager
async def clone_slot(context: JobContext) -> AsyncIterator[CloneSlot]:
    """Reserve the job's folder for the context.

    Raises ScreeningFailed if the disk is full, or if other clones occupy the space that this one needs.
    """
    clones, ids = context.parts.clones, (context.installation_id, context.repository_id)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, clones.in_use(*ids))
        try:
            folder = await asyncio.to_thread(clones.prepare, *ids)
            max_bytes = await asyncio.to_thread(clones.room_for, context.installation_id)
        except DiskFull as error:
            raise ScreeningFailed("disk_full", str(error)) from None
        try:
            yield CloneSlot(folder, max_bytes)
        except ScreeningFailed as failure:
            if failure.kind == "too_large" and max_bytes < context.parts.policy.pack_limit_bytes:
                raise ScreeningFailed("disk_full", "other clones take the room that it needs") from None
            raise
        finally:
            await asyncio.to_thread(clones.mark_used, *ids)
