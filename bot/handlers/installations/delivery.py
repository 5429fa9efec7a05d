"""A stored delivery becomes a row of work: what the dispatch table says, in one transaction with the delivery's end."""

from __future__ import annotations

from datetime import datetime

import structlog

from bot.handlers.screening.post_schedule import settled_at
from bot.jobs.context import Parts
from bot.receiver.dispatch import JobRequest, job_for
from bot.records import Event
from bot.store.database import Connection
from bot.store.deliveries import finish_delivery, load_delivery
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository, note_push
from bot.store.screenings import newest_screening

log = structlog.get_logger(__name__)


async def deliver(parts: Parts, delivery_id: int) -> bool:
    """Handle a delivery once, however often it is announced. Returns whether a job was asked for."""
    now = parts.clock.now()
    async with parts.database.write() as connection:
        delivery = await load_delivery(connection, delivery_id, lock=True)
        if delivery is None or delivery.state != "received":
            return False
        request = job_for(delivery.event)
        job_id = 0 if request is None else await _request(connection, request, delivery.event, now)
        await finish_delivery(connection, delivery_id, "handled" if job_id else "ignored", job_id)
    log.info("delivery_handled", delivery_id=delivery_id, event_name=delivery.event.name, job_id=job_id)
    return job_id != 0


async def _request(connection: Connection, request: JobRequest, event: Event, now: datetime) -> int:
    installation_id, repository_id = request.installation_id, request.repository_id
    if not repository_id:
        return await request_job(connection, installation_id, 0, request.kind, now)
    installation = await load_installation(connection, installation_id)
    if installation is not None and installation.state == "refused":
        return 0
    memory = await load_repository(connection, installation_id, repository_id)
    if installation is None or (memory is None and request.kind != "sync_repository"):
        # Said too early, or of what was removed: the list that GitHub gives decides, and new ones are screened.
        return await request_job(connection, installation_id, 0, "sync_installation", now)
    if request.after_quiet:
        return await _answer_push(connection, request, event, now)
    arguments = dict(request.arguments)
    if event.facts.get("default_branch_changed"):
        arguments["remeasure"] = True
    once = request.kind == "command"  # a body can be replayed while what it says is being done
    return await request_job(
        connection, installation_id, repository_id, request.kind, now, arguments=arguments, key=request.key, once=once
    )


async def _answer_push(connection: Connection, request: JobRequest, event: Event, now: datetime) -> int:
    """Remember the push; its answer waits for quiet, and each further push of the burst makes it wait longer."""
    ids = request.installation_id, request.repository_id
    head_sha = str(event.facts.get("after", ""))
    newest = await newest_screening(connection, *ids)
    # What was measured last is known, however it became the head: pushed again, or a body that was replayed.
    rewritten = bool(event.facts.get("forced")) and (newest is None or newest.head_sha != head_sha)
    await note_push(connection, *ids, head_sha, rewritten, now)
    memory = await load_repository(connection, *ids)
    due_at = settled_at(memory) if memory is not None else None
    return await request_job(connection, *ids, request.kind, now, not_before=due_at or now, later=True)
