"""GitHub's deliveries, reduced: stored before they are answered, finished when a job has taken them over.

All of this looks at the whole server: a delivery is known by its own number, whatever installation it is of.
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
_MOST_AT_ONCE: Final = 500  # values that are looked up in one statement


@dataclass(frozen=True)
class StoredDelivery:
    delivery_id: int
    guid: str
    event: Event
    received_at: datetime
    state: DeliveryState  # received: nobody has taken it over yet
    job_id: int  # that answers it; 0: none
    is_new: bool  # false: its guid was known before


def is_storable(guid: str, event: Event) -> bool:
    """Does it fit the columns? One that does not would fail the whole batch that it is stored with."""
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
    """`store_batch` in a transaction that is open already."""
    return await connection.run_sync(store_batch, items, now)


def store_batch(connection: Connection, items: Sequence[tuple[str, Event]], now: datetime) -> list[StoredDelivery]:
    """Store a batch; the answers are in the order of `items`. Announce those in state `received`.

    A guid that is known is not stored again. Where the job that answered it failed it is `received` once more: a
    redelivery asks for what is undone, never for what is done.
    """
    first = dict(reversed(items))
    new = _insert(connection, first, now)
    known = {} if len(new) == len(first) else _again(connection, [guid for guid in first if guid not in new])
    answers = []
    for guid, _ in items:
        delivery_id = new.pop(guid, None)
        if delivery_id is not None:
            answer = StoredDelivery(delivery_id, guid, first[guid], now, "received", 0, is_new=True)
            known[guid] = StoredDelivery(delivery_id, guid, first[guid], now, "received", 0, is_new=False)
            answers.append(answer)
        else:
            answers.append(known[guid])
    return answers


async def load_delivery(connection: AsyncConnection, delivery_id: int, *, lock: bool = False) -> StoredDelivery | None:
    """`lock`: nobody else may take it over until the transaction ends."""
    wanted = select(deliveries).where(_c.delivery_id == delivery_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else _delivery(row)


async def finish_delivery(connection: AsyncConnection, delivery_id: int, state: DeliveryState, job_id: int = 0) -> None:
    """It is answered: by a job, or by nothing where it is `ignored`."""
    changes = {"state": state, "job_id": job_id or None}
    await connection.execute(update(deliveries).where(_c.delivery_id == delivery_id).values(**changes))


async def reopen_delivery(connection: AsyncConnection, delivery_id: int) -> None:
    """As if it had just been received."""
    await finish_delivery(connection, delivery_id, "received")


async def unhandled_deliveries(connection: AsyncConnection, received_before: datetime, limit: int) -> list[int]:
    """What was stored before then and never taken over, oldest first."""
    waiting = select(_c.delivery_id).where(_c.state == "received", _c.received_at < received_before)
    rows = await connection.execute(waiting.order_by(_c.received_at, _c.delivery_id).limit(limit))
    return list(rows.scalars())


async def handled_guids(connection: AsyncConnection, guids: Iterable[str]) -> set[str]:
    """Those that are done, or stored and so going to be; without those whose job failed."""
    found: set[str] = set()
    wanted = sorted(set(guids))
    for start in range(0, len(wanted), _MOST_AT_ONCE):
        part = wanted[start : start + _MOST_AT_ONCE]
        rows = await connection.execute(select(_c.guid).where(_c.guid.in_(part), ~_job_failed()))
        found.update(rows.scalars())
    return found


async def purge_deliveries(connection: AsyncConnection, before: datetime) -> int:
    """Delete what was received before then, whatever became of it; return how many."""
    return (await connection.execute(delete(deliveries).where(_c.received_at < before))).rowcount


def _insert(connection: Connection, events: dict[str, Event], now: datetime) -> dict[str, int]:
    """The numbers of those that were new. Ordered by guid, so that two batches do not wait for each other."""
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
    """What is known of them; what failed is received again first."""
    failed = update(deliveries).where(_c.guid.in_(guids), _c.state == "handled", _job_failed())
    connection.execute(failed.values(state="received", job_id=None))
    rows = connection.execute(select(deliveries).where(_c.guid.in_(guids)))
    return {row.guid: _delivery(row) for row in rows}


def _job_failed() -> Any:
    return exists().where(and_(jobs.c.job_id == _c.job_id, jobs.c.state == "failed"))


def _delivery(row: Row[Any]) -> StoredDelivery:
    event = Event(row.event, row.action, row.installation_id, row.repository_id, row.facts)
    return StoredDelivery(row.delivery_id, row.guid, event, row.received_at, row.state, row.job_id or 0, is_new=False)
