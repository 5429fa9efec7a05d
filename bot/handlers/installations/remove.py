"""Delete all that is held of an installation or a repository, once GitHub itself has said that it is gone.

Rows go first: a screening or a fine-tuning run that is still at work finds its lease lost and ends. Then the clones
and artifacts go; what such work wrote meanwhile is there without a row, and the purge a minute later removes it.
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
    """Asks GitHub first: what a delivery says may be old, and is not proof enough to delete anything."""
    try:
        await context.parts.github.installation(context.installation_id)
    except NotFound:
        return await forget_installation(context)
    async with context.conclusion("it is still installed") as connection:
        await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()


async def forget_installation(context: JobContext) -> Outcome:
    """GitHub knows no such installation: it said so when asked for this one, and must say so when asked for all."""
    everybody = {installation.installation_id for installation in await context.parts.github.installations()}
    if context.installation_id in everybody:
        return Later(context.now() + CONTRADICTED, "GitHub says both that it is installed and that it is not")
    async with context.conclusion("removed") as connection:
        await delete_installation(connection, context.installation_id, except_job=context.job.job_id)
        await _purge_soon(connection, context)
    await asyncio.to_thread(context.parts.clones.remove, context.installation_id, None)
    await without_store_problems(context.parts.artifacts.remove_installation, context.installation_id)
    log.info("installation_removed")
    return Done()


async def forget_repository(context: JobContext) -> Outcome:
    """GitHub says that the installation has no such repository. Its outcomes went with it, so the threshold may be
    another.

    Two transactions: who settles a run of it holds a job of the repository and waits for `recalibrate`. A worker that
    dies in between leaves this job open, and there is nothing to be deleted the second time.
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
    await without_store_problems(context.parts.artifacts.remove_repository, *ids)
    log.info("repository_removed")
    return Done()


async def without_store_problems(remove: Callable[..., None], *ids: int) -> None:
    """The rows are gone: where the store does not work now, the next purge that finds it working does it."""
    try:
        await asyncio.to_thread(remove, *ids)
    except StoreError as problem:
        log.warning("artifacts_not_removed", problem=str(problem))


async def _purge_soon(connection: Connection, context: JobContext) -> None:
    now = context.now()
    await request_job(connection, 0, 0, "purge", now, not_before=now + GRACE)
