"""Store deliveries, then announce them: what arrives while a transaction is being written shares the next one.

A durable commit waits for the disk, and one wait serves many deliveries. A request is answered when its batch is
committed. Announcing comes after that and may fail: the sweeper finds what was stored and never announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import structlog

from bot.clock import Clock
from bot.receiver.batches import Batches
from bot.records import Event
from bot.store.database import Database
from bot.store.deliveries import StoredDelivery, store_batch

MOST_STORED: Final = 256  # deliveries a transaction
MOST_ANNOUNCED: Final = 1_024  # ids at once
MOST_UNANNOUNCED: Final = 10_000  # ids that wait while Redis hangs; the sweeper finds what is beyond
ANNOUNCE_EVERY_S: Final = 0.005  # nobody misses them sooner, and a round trip for many costs what it costs for one
ANNOUNCE_TIMEOUT_S: Final = 5.0

Taken = Literal["stored", "again", "done"]  # new; known and not done yet; known and done

log = structlog.get_logger(__name__)


class Announcer(Protocol):
    """Tells the workers that there may be something to do."""

    async def announce_deliveries(self, delivery_ids: Sequence[int]) -> None: ...


class Intake:
    """Where deliveries go in. One of a process."""

    def __init__(self, database: Database, announcer: Announcer, clock: Clock) -> None:
        self._database = database
        self._announcer = announcer
        self._clock = clock
        self._stores: Batches[tuple[str, Event], Taken] = Batches(self._store, MOST_STORED)
        self._announcements: Batches[int, None] = Batches(self._announce, MOST_ANNOUNCED)

    async def take(self, guid: str, event: Event) -> Taken:
        """Returns once the delivery is on disk. Raises what the store raises, and then nothing is stored."""
        return await self._stores.put((guid, event))

    async def close(self) -> None:
        """Finish what was begun."""
        await self._stores.close()
        await self._announcements.close()

    async def _store(self, batch: Sequence[tuple[str, Event]]) -> list[Taken]:
        now = self._clock.now()
        stored = await self._database.write_in_one_go(lambda connection: store_batch(connection, batch, now))
        for delivery_id in {delivery.delivery_id for delivery in stored if delivery.state == "received"}:
            if len(self._announcements) < MOST_UNANNOUNCED:
                self._announcements.put(delivery_id)
        return [_taken(delivery) for delivery in stored]

    async def _announce(self, delivery_ids: Sequence[int]) -> list[None]:
        await asyncio.sleep(ANNOUNCE_EVERY_S)
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                await self._announcer.announce_deliveries(delivery_ids)
        except Exception as error:  # whatever keeps it from being announced, the sweeper announces it later
            log.warning("deliveries were not announced", count=len(delivery_ids), error=type(error).__name__)
        return [None] * len(delivery_ids)


def _taken(delivery: StoredDelivery) -> Taken:
    if delivery.is_new:
        return "stored"
    return "again" if delivery.state == "received" else "done"
