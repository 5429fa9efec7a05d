import asyncio
from collections.abc import Sequence

import pytest

from bot.receiver.intake import Batcher


class Doubler:
    """Doubles each item once its gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return [2 * item for item in items]


def test_the_first_item_runs_immediately_and_later_ones_share_a_batch() -> None:
    async def scene() -> None:
        work = Doubler()
        batcher: Batcher[int, int] = Batcher(work, max_items=10)
        first = batcher.put(1)
        await asyncio.sleep(0)
        others = [batcher.put(item) for item in (2, 3, 4)]
        await asyncio.sleep(0)
        assert work.batches == [[1]]
        assert len(batcher) == 3
        work.gate.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert work.batches == [[1], [2, 3, 4]]

    asyncio.run(scene())


def test_batches_have_a_maximum_size() -> None:
    async def scene() -> None:
        work = Doubler()
        work.gate.set()
        batcher: Batcher[int, int] = Batcher(work, max_items=3)
        assert await asyncio.gather(*(batcher.put(item) for item in range(7))) == [0, 2, 4, 6, 8, 10, 12]
        assert work.batches == [[0, 1, 2], [3, 4, 5], [6]]

    asyncio.run(scene())


def test_a_failed_batch_does_not_affect_the_next() -> None:
    async def scene() -> None:
        work = Doubler()
        batcher: Batcher[int, int] = Batcher(work, max_items=2)
        work.fails = ValueError("full")
        work.gate.set()
        failed = await asyncio.gather(batcher.put(1), batcher.put(2), return_exceptions=True)
        assert [str(error) for error in failed] == ["full", "full"]
        work.fails = None
        assert await batcher.put(3) == 6

    asyncio.run(scene())


def test_a_cancelled_waiter_does_not_affect_the_others() -> None:
    async def scene() -> None:
        work = Doubler()
        batcher: Batcher[int, int] = Batcher(work, max_items=10)
        waiters = [asyncio.create_task(wait_for(batcher, item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiters[0].cancel()
        waiters[2].cancel()
        work.gate.set()
        assert await waiters[1] == 4
        assert sorted(item for batch in work.batches for item in batch) == [1, 2, 3]
        assert await batcher.put(5) == 10

    asyncio.run(scene())


async def wait_for(batcher: Batcher[int, int], item: int) -> int:
    return await batcher.put(item)


def test_closing_finishes_pending_items() -> None:
    async def scene() -> None:
        work = Doubler()
        batcher: Batcher[int, int] = Batcher(work, max_items=1)
        futures = [batcher.put(item) for item in (1, 2)]
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        assert not closing.done()
        work.gate.set()
        await closing
        assert [future.result() for future in futures] == [2, 4]
        await batcher.close()

    asyncio.run(scene())


def test_items_are_cancelled_when_the_loop_ends() -> None:
    async def scene() -> list[asyncio.Future[int]]:
        batcher: Batcher[int, int] = Batcher(Doubler(), max_items=1)
        futures = [batcher.put(item) for item in (1, 2)]
        await asyncio.sleep(0)
        return futures

    assert all(future.cancelled() for future in asyncio.run(scene()))


def test_too_few_results_raise_for_every_waiter() -> None:
    async def none(items: Sequence[int]) -> list[int]:
        return []

    async def scene() -> None:
        batcher: Batcher[int, int] = Batcher(none, max_items=1)
        with pytest.raises(ValueError, match="argument 2"):
            await batcher.put(1)

    asyncio.run(scene())
