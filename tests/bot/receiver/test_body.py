"""Bodies of strangers, before anybody can tell them from GitHub's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from starlette.requests import Request

from bot.receiver import body as limits
from bot.receiver.body import Bodies, Body, BodyRefused

STRANGER, OTHER = "203.0.113.9", "192.0.2.1"


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SMALL_BYTES": 100,
        "HUGE_BYTES": 1_000,
        "MAX_BYTES": 10_000,
        "MAX_MEDIUM_BYTES": 4_000,
        "MAX_BUFFERED_BYTES": 15_000,
        "WINDOW_S": 0.05,
        "STALLED_BYTES_PER_S": 1_000,
    }.items():
        monkeypatch.setattr(limits, name, value)


class Sender:
    """A client: it sends a body of `size` in chunks, then the end of it or nothing more."""

    def __init__(self, bodies: Bodies, peer: str = STRANGER) -> None:
        self.bodies = bodies
        self.peer = peer
        self.body: Body | None = None

    async def send(self, size: int, stalls: bool = False) -> int:
        """Return how many bytes arrived. Raises BodyRefused."""
        left, asked = [size], [0]

        async def receive() -> dict[str, object]:
            if left[0] <= 0 and asked[0]:
                await asyncio.sleep(3600)
            asked[0] += 1
            chunk = b"x" * min(500, left[0])
            left[0] -= len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": left[0] > 0 or stalls}

        request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
        with self.bodies.hold(self.peer) as self.body:
            await self.bodies.read(request, self.body)
            return len(self.body.data)


async def outcome(sending: Awaitable[int]) -> object:
    try:
        return await sending
    except BodyRefused as refused:
        return refused.reason


@contextlib.asynccontextmanager
async def stalled(bodies: Bodies, sizes: list[int], peer: str = STRANGER) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Bodies of these sizes that lack their end, held for the context."""
    tasks = [asyncio.create_task(outcome(Sender(bodies, peer).send(size, stalls=True))) for size in sizes]
    await asyncio.sleep(0.02)
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(scene: Callable[[Bodies], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene(Bodies())

    asyncio.run(bounded())


def held(bodies: Bodies) -> Iterator[int]:
    yield from (len(body.data) for body in bodies._held)


def test_a_body_of_every_size_is_read_if_there_is_nobody_else() -> None:
    async def scene(bodies: Bodies) -> None:
        for size in (0, 100, 101, 1_000, 1_001, 10_000):
            assert await outcome(Sender(bodies).send(size)) == size
        assert await outcome(Sender(bodies).send(10_001)) == "too large"
        assert list(held(bodies)) == []

    run(scene)


def test_bodies_that_stall_never_keep_out_those_of_another_size() -> None:
    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [9_999, 9_000 - 1_500, 90, 90, 90]):
            for size in (50, 100, 500, 1_000):
                assert await outcome(Sender(bodies, OTHER).send(size)) == size
                assert await outcome(Sender(bodies).send(size)) == size  # behind a proxy, all have one address

    run(scene)


def test_a_peer_that_holds_most_makes_room_at_once() -> None:
    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [8_000, 7_000]) as tasks:
            assert await outcome(Sender(bodies, OTHER).send(9_000)) == 9_000
            await asyncio.sleep(0.05)
            assert sorted(str(task.result()) for task in tasks if task.done()) == ["busy"]

    run(scene)


def test_a_body_that_stalls_makes_room_even_for_its_own_peer() -> None:
    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [8_000, 8_000]):
            await asyncio.sleep(0.1)
            assert await outcome(Sender(bodies).send(9_999)) == 9_999

    run(scene)


def test_many_peers_that_stall_make_room_too() -> None:
    async def scene(bodies: Bodies) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(8):
                await stack.enter_async_context(stalled(bodies, [600], f"203.0.113.{number}"))
            await asyncio.sleep(0.1)
            assert await outcome(Sender(bodies, OTHER).send(1_000)) == 1_000

    run(scene)


def test_bodies_that_make_progress_are_not_given_up_for_one_more() -> None:
    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [8_000, 8_000], OTHER) as tasks:
            assert await outcome(Sender(bodies, OTHER).send(9_999)) == "busy"
            assert not any(task.done() for task in tasks)

    run(scene)


def test_memory_is_bounded_however_many_bodies_there_are() -> None:
    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [9_000] * 30):
            large = [size for size in held(bodies) if size > 1_000]
            assert sum(size - 1_000 for size in large) <= 15_000
            assert sum(min(size, 1_000) - 100 for size in held(bodies) if size > 100) <= 4_000

    run(scene)


def test_a_small_body_has_less_time_than_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_S", 0.05)
    monkeypatch.setattr(limits, "BYTES_PER_S", 1_000)

    async def scene(bodies: Bodies) -> None:
        async with stalled(bodies, [50, 9_000]) as (small, large):
            assert await small == "slow"
            assert not large.done()
        monkeypatch.setattr(limits, "READ_TIMEOUT_S", 0.05)
        assert await outcome(Sender(bodies).send(9_000, stalls=True)) == "slow"

    run(scene)
