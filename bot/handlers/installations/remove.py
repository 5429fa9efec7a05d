"""Delete all data of an installation or a repository, once GitHub itself confirms that it is gone.

Rows are deleted first, so a screening or a run in progress loses its lease and ends. Then clones and artifacts are
deleted; whatever such work wrote meanwhile has no row, and the purge a minute later removes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from bot.github.errors import NotFound
from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.store.database import Connection
from bot.store.installations import delete_installation
from bot.store.jobs import request_job
from bot.store.repositories import delete_repository
from pipeline.finetuning.artifact_store import StoreError

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(minutes=1)
CONTRADICTED: Final = timedelta(minutes=1)


async def remove_installation(context: JobContext) -> Outcome:
    """Ask GitHub, then delete: a delivery alone may be stale, and is no proof."""
    try:
        await context.parts.github.installation(context.installation_id)
    except NotFound:
        return await forget_installation(context)
    async with context.conclusion("it is still installed") as connection:
        await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()


async def forget_installation(context: JobContext) -> Outcome:
    """Delete an installation that GitHub reports as not found, if GitHub's list of all confirms that."""
    listed = {installation.installation_id for installation in await context.parts.github.installations()}
    if context.installation_id in listed:
        return Later(context.now() + CONTRADICTED, "GitHub reports both that it is installed and that it is not")
    async with context.conclusion("removed") as connection:
        await delete_installation(connection, context.installation_id, except_job=context.job.job_id)
        await _purge_soon(connection, context)
    await asyncio.to_thread(context.parts.clones.remove, context.installation_id, None)
    await remove_artifacts(context.parts.artifacts.remove_installation, context.installation_id)
    log.info("installation_removed")
    return Done()


async def forget_repository(context: JobContext) -> Outcome:
    """Delete a repository that GitHub reports as not found, and recalibrate without its outcomes.

    This takes two transactions, because a worker that applies one of its runs holds a job of it and waits for
    `recalibrate`. After a crash in between the job is repeated, with nothing left to delete.
    """
    async with context.effect() as connection:
        await delete_repository(
            connection, context.installation_id, context.repository_id, except_job=context.job.job_id
        )
    async with context.conclusion("removed") as connection:
        await _purge_soon(connection, context)
        await request_job(connection, context.installation_id, 0, "recalibrate", context.now())
    ids = context.installation_id, context.repository_id
    await asyncio.to_thread(context.parts.clones.remove, *ids)
    await remove_artifacts(context.parts.artifacts.remove_repository, *ids)
    log.info("repository_removed")
    return Done()


async def remove_artifacts(remove: Callable[..., None], *ids: int) -> None:
    """Call `remove`. If the store fails, a later purge deletes the artifacts, because their rows are gone."""
    try:
        await asyncio.to_thread(remove, *ids)
    except StoreError as error:
        log.warning("artifacts_not_removed", problem=str(error))


async def _purge_soon(connection: Connection, context: JobContext) -> None:
    now = context.now()
    await request_job(connection, 0, 0, "purge", now, not_before=now + GRACE)
