"""Do for many at once what would take as long for one."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """One batch at a time: whatever is put in while `work` does one becomes the next, and the first waits for nobody.

    `work` returns one result an item, in their order. Where it raises, everyone of that batch gets the exception and
    the next batch is tried afresh.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many wait for a batch of theirs to begin."""
        return len(self._waiting)

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Give `item` to the next batch. Whoever stops waiting for the result takes nothing away from the others."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            # In a context of its own: its log lines belong to no single one of those who wait.
            self._task = asyncio.create_task(self._drain(), context=contextvars.Context())
        return future

    async def close(self) -> None:
        """Finish what was put in."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._do([self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))])
        finally:
            self._task = None
            while self._waiting:  # only where this task was cancelled
                self._waiting.popleft()[1].cancel()

    async def _do(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            pairs = list(zip(batch, await self._work([item for item, _ in batch]), strict=True))
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # whatever it is, it is theirs who wait for this batch, and not the next batch's
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in pairs:
            if not future.done():
                future.set_result(result)
