import asyncio
from collections.abc import Sequence

import pytest

from bot.receiver.batches import Batches


class Doubling:
    """Doubles what it is given, one batch each time the gate is opened."""

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


def test_the_first_waits_for_nobody_and_the_others_share_the_next() -> None:
    async def scene() -> None:
        work = Doubling()
        batches: Batches[int, int] = Batches(work, most=10)
        first = batches.put(1)
        await asyncio.sleep(0)
        others = [batches.put(item) for item in (2, 3, 4)]
        await asyncio.sleep(0)
        assert work.batches == [[1]]
        assert len(batches) == 3
        work.gate.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert work.batches == [[1], [2, 3, 4]]

    asyncio.run(scene())


def test_a_batch_is_no_larger_than_it_may_be() -> None:
    async def scene() -> None:
        work = Doubling()
        work.gate.set()
        batches: Batches[int, int] = Batches(work, most=3)
        assert await asyncio.gather(*(batches.put(item) for item in range(7))) == [0, 2, 4, 6, 8, 10, 12]
        assert work.batches == [[0, 1, 2], [3, 4, 5], [6]]

    asyncio.run(scene())


def test_a_batch_that_fails_fails_for_its_own_and_the_next_is_tried_afresh() -> None:
    async def scene() -> None:
        work = Doubling()
        batches: Batches[int, int] = Batches(work, most=2)
        work.fails = ValueError("full")
        work.gate.set()
        failed = await asyncio.gather(batches.put(1), batches.put(2), return_exceptions=True)
        assert [str(error) for error in failed] == ["full", "full"]
        work.fails = None
        assert await batches.put(3) == 6

    asyncio.run(scene())


def test_who_stops_waiting_takes_nothing_away_from_the_others() -> None:
    async def scene() -> None:
        work = Doubling()
        batches: Batches[int, int] = Batches(work, most=10)
        waiters = [asyncio.create_task(wait_for(batches, item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiters[0].cancel()
        waiters[2].cancel()
        work.gate.set()
        assert await waiters[1] == 4
        assert sorted(item for batch in work.batches for item in batch) == [1, 2, 3]
        assert await batches.put(5) == 10

    asyncio.run(scene())


async def wait_for(batches: Batches[int, int], item: int) -> int:
    return await batches.put(item)


def test_closing_finishes_what_was_put_in() -> None:
    async def scene() -> None:
        work = Doubling()
        batches: Batches[int, int] = Batches(work, most=1)
        futures = [batches.put(item) for item in (1, 2)]
        closing = asyncio.create_task(batches.close())
        await asyncio.sleep(0)
        assert not closing.done()
        work.gate.set()
        await closing
        assert [future.result() for future in futures] == [2, 4]
        await batches.close()

    asyncio.run(scene())


def test_a_loop_that_ends_leaves_nobody_waiting() -> None:
    async def scene() -> list[asyncio.Future[int]]:
        batches: Batches[int, int] = Batches(Doubling(), most=1)
        futures = [batches.put(item) for item in (1, 2)]
        await asyncio.sleep(0)
        return futures

    assert all(future.cancelled() for future in asyncio.run(scene()))


def test_too_few_answers_are_a_mistake_that_nobody_waits_for_in_vain() -> None:
    async def none(items: Sequence[int]) -> list[int]:
        return []

    async def scene() -> None:
        batches: Batches[int, int] = Batches(none, most=1)
        with pytest.raises(ValueError, match="argument 2"):
            await batches.put(1)

    asyncio.run(scene())
