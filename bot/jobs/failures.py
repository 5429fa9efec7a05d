"""Record a failed job: a failed screening with the reason, and the check run that shows it."""

from __future__ import annotations

from datetime import datetime

from bot.records import Job
from bot.store.database import Connection
from bot.store.jobs import request_job
from bot.store.repositories import load_repository, note_error
from bot.store.screenings import save_screening
from pipeline.label_recipe import MESSAGES


async def save_failure(connection: Connection, job: Job, reason: str, now: datetime, head_sha: str = "") -> None:
    """Save why a job failed, in the transaction that ends it.

    A failed screening is stored as one and posted; for any other kind only the repository's last error changes.
    """
    if not job.repository_id:
        return
    memory = await load_repository(connection, job.installation_id, job.repository_id)
    if memory is None:
        return
    if job.kind != "screen":
        await note_error(connection, job.installation_id, job.repository_id, f"{job.kind}: {reason}")
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
