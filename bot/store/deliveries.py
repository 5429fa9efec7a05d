"""GitHub's deliveries, reduced to what may be stored: saved before the response, finished once a job takes over.

This module is server-wide: a delivery is identified by its own id, whatever its installation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import DeliveryState, Event
from bot.store.tables import deliveries, jobs
from bot.store.upsert import insert_into

_c = deliveries.c
_MAX_VALUES: Final = 500  # per statement


@dataclass(frozen=True)
class StoredDelivery:
    delivery_id: int
    guid: str
    event: Event
    received_at: datetime
    state: DeliveryState  # received: not taken over yet
    job_id: int  # the job that took over; 0: none
    is_new: bool  # its guid was not stored before


def is_storable(guid: str, event: Event) -> bool:
    """Return whether a delivery fits the columns. One that does not would fail its whole batch."""
    texts = (guid, 64), (event.name, 64), (event.action, 64)
    numbers = event.installation_id, event.repository_id
    return (
        len(guid) > 0
        and all(len(text) <= most and text.isprintable() for text, most in texts)
        and all(0 <= number < 1 << 63 for number in numbers)
    )


async def store_deliveries(
    connection: AsyncConnection, items: Sequence[tuple[str, Event]], now: datetime
) -> list[StoredDelivery]:
    """Call `store_batch` in an open transaction."""
    return await connection.run_sync(store_batch, items, now)


def store_batch(connection: Connection, items: Sequence[tuple[str, Event]], now: datetime) -> list[StoredDelivery]:
    """Store a batch and return the rows in the order of `items`. Announce those in state `received`.

    A known guid is not stored again. If its job failed it becomes `received` again: a redelivery repeats only what was
    not done.
    """
    first = dict(reversed(items))
    new = _insert(connection, first, now)
    known = {} if len(new) == len(first) else _again(connection, [guid for guid in first if guid not in new])
    stored = []
    for guid, _ in items:
        delivery_id = new.pop(guid, None)
        if delivery_id is not None:
            delivery = StoredDelivery(delivery_id, guid, first[guid], now, "received", 0, is_new=True)
            known[guid] = StoredDelivery(delivery_id, guid, first[guid], now, "received", 0, is_new=False)
            stored.append(delivery)
        else:
            stored.append(known[guid])
    return stored


async def load_delivery(connection: AsyncConnection, delivery_id: int, *, lock: bool = False) -> StoredDelivery | None:
    """Return the delivery. `lock`: no other transaction can take it over until commit."""
    wanted = select(deliveries).where(_c.delivery_id == delivery_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else _delivery(row)


async def earlier_clicks(connection: AsyncConnection, delivery: StoredDelivery) -> list[StoredDelivery]:
    """Return the earlier deliveries of the same body that reported a click and were not ignored."""
    event = delivery.event
    clicked = select(deliveries).where(
        _c.installation_id == event.installation_id,
        _c.repository_id == event.repository_id,
        _c.event == event.name,
        _c.action == event.action,
        _c.state != "ignored",
        _c.delivery_id < delivery.delivery_id,
    )
    rows = await connection.execute(clicked)
    return [_delivery(row) for row in rows if row.facts.get("click") == event.facts.get("click")]


async def finish_delivery(connection: AsyncConnection, delivery_id: int, state: DeliveryState, job_id: int = 0) -> None:
    """Note that a job took over, or that the delivery is `ignored`."""
    changes = {"state": state, "job_id": job_id or None}
    await connection.execute(update(deliveries).where(_c.delivery_id == delivery_id).values(**changes))


async def reopen_delivery(connection: AsyncConnection, delivery_id: int) -> None:
    """Make it `received` again."""
    await finish_delivery(connection, delivery_id, "received")


async def unhandled_deliveries(connection: AsyncConnection, received_before: datetime, limit: int) -> list[int]:
    """Return the deliveries stored before then that were never taken over, oldest first."""
    waiting = select(_c.delivery_id).where(_c.state == "received", _c.received_at < received_before)
    rows = await connection.execute(waiting.order_by(_c.received_at, _c.delivery_id).limit(limit))
    return list(rows.scalars())


async def handled_guids(connection: AsyncConnection, guids: Iterable[str]) -> set[str]:
    """Return the guids that are stored and whose job did not fail: those are done, or will be."""
    handled: set[str] = set()
    wanted = sorted(set(guids))
    for start in range(0, len(wanted), _MAX_VALUES):
        part = wanted[start : start + _MAX_VALUES]
        rows = await connection.execute(select(_c.guid).where(_c.guid.in_(part), ~_job_failed()))
        handled.update(rows.scalars())
    return handled


async def purge_deliveries(connection: AsyncConnection, before: datetime) -> int:
    """Delete what was received before then, in any state, and return its number."""
    return (await connection.execute(delete(deliveries).where(_c.received_at < before))).rowcount


def _insert(connection: Connection, events: dict[str, Event], now: datetime) -> dict[str, int]:
    """Insert the new ones and return their ids. Ordered by guid, so that two batches cannot deadlock."""
    if not events:
        return {}
    rows = [
        {
            "guid": guid,
            "installation_id": event.installation_id,
            "repository_id": event.repository_id,
            "event": event.name,
            "action": event.action,
            "facts": dict(event.facts),
            "received_at": now,
            "state": "received",
        }
        for guid, event in sorted(events.items())
    ]
    statement = insert_into(connection, deliveries).on_conflict_do_nothing(index_elements=["guid"])
    stored = connection.execute(statement.returning(_c.guid, _c.delivery_id), rows)
    return {row.guid: row.delivery_id for row in stored}


def _again(connection: Connection, guids: list[str]) -> dict[str, StoredDelivery]:
    """Load known deliveries, after resetting those whose job failed to `received`."""
    failed = update(deliveries).where(_c.guid.in_(guids), _c.state == "handled", _job_failed())
    connection.execute(failed.values(state="received", job_id=None))
    rows = connection.execute(select(deliveries).where(_c.guid.in_(guids)))
    return {row.guid: _delivery(row) for row in rows}


def _job_failed() -> Any:
    return exists().where(and_(jobs.c.job_id == _c.job_id, jobs.c.state == "failed"))


def _delivery(row: Row[Any]) -> StoredDelivery:
    event = Event(row.event, row.action, row.installation_id, row.repository_id, row.facts)
    return StoredDelivery(row.delivery_id, row.guid, event, row.received_at, row.state, row.job_id or 0, is_new=False)
