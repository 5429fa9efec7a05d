"""Turn a stored delivery into the job that the dispatch table names, in one transaction with the delivery's end."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from bot.handlers.commands import command
from bot.handlers.finetuning import result
from bot.handlers.screening import post_schedule
from bot.handlers.screening.post_schedule import settled_at
from bot.jobs.arguments import SyncRepositoryJob
from bot.jobs.context import Parts
from bot.receiver.dispatch import JobRequest, job_for
from bot.records import Event
from bot.store.database import Connection
from bot.store.deliveries import StoredDelivery, earlier_clicks, finish_delivery, load_delivery
from bot.store.installations import load_installation
from bot.store.jobs import load_job, request_job
from bot.store.repositories import load_repository, note_push
from bot.store.screenings import newest_screening

log = structlog.get_logger(__name__)

CAME_TO_NOTHING: Final = command.WITHOUT_EFFECT | post_schedule.WITHOUT_EFFECT | result.WITHOUT_EFFECT


async def deliver(parts: Parts, delivery_id: int) -> bool:
    """Handle a delivery once, however often it is announced. Return whether it requested a job."""
    now = parts.clock.now()
    async with parts.database.write() as connection:
        delivery = await load_delivery(connection, delivery_id, lock=True)
        if delivery is None or delivery.state != "received":
            return False
        request = None if await _is_replayed(connection, delivery) else job_for(delivery.event)
        job_id = 0 if request is None else await _request(connection, request, delivery.event, now)
        await finish_delivery(connection, delivery_id, "handled" if job_id else "ignored", job_id)
    log.info("delivery_handled", delivery_id=delivery_id, event_name=delivery.event.name, job_id=job_id)
    return job_id != 0


async def _is_replayed(connection: Connection, delivery: StoredDelivery) -> bool:
    """Return whether the same click was delivered before, under another id, and came to something.

    A click that came to nothing, for want of a role or a result, left the suite as it was, so the next one has the same
    body and counts.
    """
    if "click" not in delivery.event.facts:
        return False
    for earlier in await earlier_clicks(connection, delivery):
        job = await load_job(connection, earlier.job_id)
        if job is None or not (job.state in ("failed", "cancelled") or job.reason in CAME_TO_NOTHING):
            return True
    return False


async def _request(connection: Connection, request: JobRequest, event: Event, now: datetime) -> int:
    installation_id, repository_id = request.installation_id, request.repository_id
    if not repository_id:
        return await request_job(connection, installation_id, 0, request.kind, now)
    installation = await load_installation(connection, installation_id)
    if installation is not None and installation.state == "refused":
        return 0
    memory = await load_repository(connection, installation_id, repository_id)
    if installation is None or (memory is None and request.kind != "sync_repository"):
        # The delivery came too early or concerns something removed: GitHub's list decides.
        sync_id = await request_job(connection, installation_id, 0, "sync_installation", now)
        if request.after_quiet or not request.key:
            return sync_id
        # Somebody waits for this, so it is done after the listing.
    if request.after_quiet:
        return await _request_after_push(connection, request, event, now)
    changed = bool(event.facts.get("default_branch_changed"))
    arguments = {**request.arguments, **SyncRepositoryJob(remeasure=changed).dump()}
    once = request.kind == "command"  # a body may be replayed while its command is being executed
    return await request_job(
        connection, installation_id, repository_id, request.kind, now, arguments=arguments, key=request.key, once=once
    )


async def _request_after_push(connection: Connection, request: JobRequest, event: Event, now: datetime) -> int:
    """Note the push. Its job waits for quiet, so each further push of a burst delays it."""
    ids = request.installation_id, request.repository_id
    head_sha = str(event.facts.get("after", ""))
    newest = await newest_screening(connection, *ids)
    # A head that was measured last is no news, whether it was pushed again or the body was replayed.
    rewritten = bool(event.facts.get("forced")) and (newest is None or newest.head_sha != head_sha)
    await note_push(connection, *ids, head_sha, rewritten, now)
    memory = await load_repository(connection, *ids)
    due_at = settled_at(memory) if memory is not None else None
    return await request_job(connection, *ids, request.kind, now, not_before=due_at or now, later=True)
