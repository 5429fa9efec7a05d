"""Record a failed job: a failed screening with the reason, and the check run that shows it; and clear it later."""

from __future__ import annotations

from datetime import datetime

from bot.records import Job
from bot.store.database import Connection
from bot.store.installations import note_installation_error, recall_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository, note_error
from bot.store.screenings import save_screening
from pipeline.label_recipe import MESSAGES


async def save_failure(connection: Connection, job: Job, reason: str, now: datetime, head_sha: str = "") -> None:
    """Save why a job failed, in the transaction that ends it.

    A failed screening is stored as one and posted; for any other kind only the last error changes.
    """
    if job.kind != "screen" or not job.repository_id:
        await save_error(connection, job, reason)
        return
    memory = await load_repository(connection, job.installation_id, job.repository_id)
    if memory is None:
        return
    await save_screening(
        connection,
        job.installation_id,
        job.repository_id,
        head_sha=head_sha or memory.pushed_head,
        measured_at=now,
        measurement={},
        judgement={},
        failure=reason,
        label_recipe_id=MESSAGES.id,
        config_hash="",
    )
    await request_job(connection, job.installation_id, job.repository_id, "post", now)


async def save_error(connection: Connection, job: Job, reason: str) -> None:
    """Save why a job does not succeed as the last error of its repository, or of its installation."""
    text = f"{job.kind}: {reason}"
    if job.repository_id:
        await note_error(connection, job.installation_id, job.repository_id, text)
    elif job.installation_id:
        await note_installation_error(connection, job.installation_id, text)


async def clear_error(connection: Connection, job: Job) -> None:
    """Clear the last error if it is of a job of this kind, because one has succeeded now."""
    mark = f"{job.kind}: "
    if job.repository_id:
        memory = await load_repository(connection, job.installation_id, job.repository_id)
        if memory is not None and memory.last_error.startswith(mark):
            await note_error(connection, job.installation_id, job.repository_id, "")
    elif job.installation_id:
        recalled = await recall_installation(connection, job.installation_id)
        if recalled.last_error.startswith(mark):
            await note_installation_error(connection, job.installation_id, "")
