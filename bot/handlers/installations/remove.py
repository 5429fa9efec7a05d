"""Delete all data of an installation or a repository, once GitHub itself has confirmed twice that it is gone.

An account that the operator does not allow is refused at once, and loses its data only after a grace period.

Rows are deleted first, so a screening or a run in progress loses its lease and ends. Then clones and artifacts are
deleted; whatever such work wrote meanwhile has no row, and the purge a minute later removes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from bot.github.errors import NotFound
from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.messages.reasons import NOT_SERVED
from bot.records import Installation
from bot.runs.end_run import cancel
from bot.store.database import Connection
from bot.store.installations import (
    delete_installation,
    load_installation,
    note_gone,
    note_refused,
    recall_installation,
    save_installation,
)
from bot.store.jobs import request_job
from bot.store.repositories import delete_repository, list_repositories
from bot.store.runs import open_runs
from pipeline.finetuning.artifact_store import StoreError

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(minutes=1)
CONTRADICTED: Final = timedelta(minutes=1)
ASK_AGAIN: Final = timedelta(minutes=10)  # far below the hour within which an uninstallation deletes
NOT_ALLOWED: Final = "the account is not in ASSAY_ALLOWED_ACCOUNTS"


async def remove_installation(context: JobContext) -> Outcome:
    """Ask GitHub, then delete: a delivery alone may be stale, and is no proof."""
    if not await _is_gone(context):
        return await _keep(context)
    return await forget_installation(context, announced=True)


async def forget_installation(context: JobContext, *, announced: bool = False) -> Outcome:
    """Delete an installation that GitHub reports as not found, if its list of all and a second answer confirm that.

    `announced`: a delivery said so first. Otherwise the second answer comes minutes later, because GitHub may be wrong
    for a while.
    """
    listed = {installation.installation_id for installation in await context.parts.github.installations()}
    if context.installation_id in listed:
        return Later(context.now() + CONTRADICTED, "GitHub reports both that it is installed and that it is not")
    if not announced and (later := await _ask_again_later(context)):
        return later
    if not await _is_gone(context):
        return await _keep(context)
    async with context.conclusion("removed") as connection:
        await delete_installation(connection, context.installation_id, except_job=context.job.job_id)
        await _purge_soon(connection, context)
    await _remove_files(context)
    log.info("installation_removed")
    return Done()


async def refuse(context: JobContext, installation: Installation) -> Outcome:
    """Serve an account no more that the operator does not allow. Its data is deleted after a grace period."""
    now = context.now()
    async with context.effect() as connection:
        since = (await recall_installation(connection, context.installation_id)).refused_at or now
        await save_installation(connection, replace(installation, state="refused"), now)
        await note_refused(connection, context.installation_id, since)
        for run in await open_runs(connection, context.installation_id):
            await cancel(connection, run, now, NOT_SERVED)
        has_data = bool(await list_repositories(connection, context.installation_id))
    due_at = since + timedelta(days=context.parts.policy.refused_days)
    if has_data and now < due_at:
        log.warning("account_not_allowed", account=installation.account_login, data_is_deleted_at=str(due_at))
        return Done(f"{NOT_ALLOWED}: its data is deleted on {due_at:%Y-%m-%d}")
    async with context.conclusion(NOT_ALLOWED) as connection:
        await delete_installation(connection, context.installation_id, except_job=context.job.job_id)
        await save_installation(connection, replace(installation, state="refused"), now)
        await note_refused(connection, context.installation_id, since)
    await _remove_files(context)
    if has_data:
        log.warning("data_of_refused_account_deleted", account=installation.account_login)
    return Done()


async def _is_gone(context: JobContext) -> bool:
    try:
        await context.parts.github.installation(context.installation_id)
    except NotFound:
        return True
    return False


async def _keep(context: JobContext) -> Outcome:
    async with context.conclusion("it is still installed") as connection:
        await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()


async def _ask_again_later(context: JobContext) -> Later | None:
    """Return when to ask again; None if that was long enough ago, or if there is nothing to lose."""
    async with context.effect() as connection:
        if await load_installation(connection, context.installation_id) is None:
            return None
        since = (await recall_installation(connection, context.installation_id)).gone_since
        if since is None:
            await note_gone(connection, context.installation_id, context.now())
    due_at = (since or context.now()) + ASK_AGAIN
    return Later(due_at, "GitHub reports that it is gone: asking again") if context.now() < due_at else None


async def _remove_files(context: JobContext) -> None:
    await asyncio.to_thread(context.parts.clones.remove, context.installation_id, None)
    await remove_artifacts(context.parts.artifacts.remove_installation, context.installation_id)


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
