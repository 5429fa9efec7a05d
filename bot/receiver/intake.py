"""Store deliveries, then announce them to the workers, in batches.

A durable commit waits for the disk, so deliveries that arrive during one transaction share the next. A request is
acknowledged once its batch is committed. Announcing may fail afterwards: the sweeper finds unannounced deliveries.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Literal, Protocol, TypeVar

import structlog

from bot.clock import Clock
from bot.records import Event
from bot.store.database import Database
from bot.store.deliveries import StoredDelivery, store_batch

MAX_STORED: Final = 256  # deliveries per transaction
MAX_ANNOUNCED: Final = 1_024  # ids per announcement
MAX_UNANNOUNCED: Final = 10_000  # ids waiting while Redis hangs; the sweeper finds the rest
ANNOUNCE_INTERVAL_S: Final = 0.005  # too short to notice, and one round trip then serves many
ANNOUNCE_TIMEOUT_S: Final = 5.0

IntakeResult = Literal["stored", "again", "done"]  # new; known and pending; known and done
Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Announcer(Protocol):
    """Wakes the workers for new deliveries."""

    async def announce_deliveries(self, delivery_ids: Sequence[int]) -> None: ...


class Intake:
    """Stores and announces deliveries. One per process."""

    def __init__(self, database: Database, announcer: Announcer, clock: Clock) -> None:
        self._database = database
        self._announcer = announcer
        self._clock = clock
        self._stores: Batcher[tuple[str, Event], IntakeResult] = Batcher(self._store, MAX_STORED)
        self._announcements: Batcher[int, None] = Batcher(self._announce, MAX_ANNOUNCED)

    async def take(self, guid: str, event: Event) -> IntakeResult:
        """Store a delivery and return once it is on disk. If the store raises, nothing is stored."""
        return await self._stores.put((guid, event))

    async def close(self) -> None:
        """Finish all pending work."""
        await self._stores.close()
        await self._announcements.close()

    async def _store(self, batch: Sequence[tuple[str, Event]]) -> list[IntakeResult]:
        now = self._clock.now()
        stored = await self._database.write_in_one_go(lambda connection: store_batch(connection, batch, now))
        for delivery_id in {delivery.delivery_id for delivery in stored if delivery.state == "received"}:
            if len(self._announcements) < MAX_UNANNOUNCED:
                self._announcements.put(delivery_id)
        return [_intake_result(delivery) for delivery in stored]

    async def _announce(self, delivery_ids: Sequence[int]) -> list[None]:
        await asyncio.sleep(ANNOUNCE_INTERVAL_S)
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                await self._announcer.announce_deliveries(delivery_ids)
        except Exception as error:  # whatever the cause, the sweeper announces them later
            log.warning("deliveries were not announced", count=len(delivery_ids), error=type(error).__name__)
        return [None] * len(delivery_ids)


def _intake_result(delivery: StoredDelivery) -> IntakeResult:
    if delivery.is_new:
        return "stored"
    return "again" if delivery.state == "received" else "done"


class Batcher(Generic[Item, Result]):
    """Process items in batches, one at a time: items put in while `work` runs form the next batch.

    `work` returns one result per item, in order. If it raises, every item of that batch gets the exception, and the
    next batch is unaffected.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], max_items: int) -> None:
        self._work = work
        self._max_items = max_items
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of items waiting for their batch to begin."""
        return len(self._waiting)

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Add `item` to the next batch. Cancelling the future does not affect other items."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            # An empty context: the batch's log lines belong to none of the requests in it.
            self._task = asyncio.create_task(self._drain(), context=contextvars.Context())
        return future

    async def close(self) -> None:
        """Wait until every item is processed."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                size = min(self._max_items, len(self._waiting))
                await self._process([self._waiting.popleft() for _ in range(size)])
        finally:
            self._task = None
            while self._waiting:  # only if this task was cancelled
                self._waiting.popleft()[1].cancel()

    async def _process(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            pairs = list(zip(batch, await self._work([item for item, _ in batch]), strict=True))
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # passed on to those who wait for this batch
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in pairs:
            if not future.done():
                future.set_result(result)
