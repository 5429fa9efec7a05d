"""Wakeups are one row id in JSON, and nothing else is ever read from Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.arq_worker import QueueWorker
from bot.jobs.embedded_redis import EmbeddedRedis
from bot.jobs.wakeups import MAX_ID, QUEUES, Queue, RefusedWakeup, Wakeups, open_redis, parse_wakeup, render_wakeup

GOOD: dict[str, object] = {"t": None, "f": "work", "a": [7], "k": {}, "et": 1}

CHANGES: list[dict[str, object]] = [
    {"f": "os.system"},
    {"f": ["work"]},
    {"f": None},
    {"a": []},
    {"a": [7, 8]},
    {"a": ["7"]},
    {"a": [True]},
    {"a": [7.0]},
    {"a": [0]},
    {"a": [-1]},
    {"a": [MAX_ID + 1]},
    {"a": {"0": 7}},
    {"a": "7"},
    {"k": {"x": 1}},
    {"k": None},
    {"t": 3},
    {"et": "now"},
    {"et": -1},
    {"et": 10**30},
    {"extra": 1},
]


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@given(st.sampled_from(["work", "deliver"]), st.integers(1, MAX_ID), st.integers(0, 2**53))
def test_a_wakeup_is_read_as_it_was_written(function: str, row_id: int, at_ms: int) -> None:
    parsed = parse_wakeup(render_wakeup(function, row_id, at_ms))
    assert (parsed["f"], parsed["a"], parsed["et"]) == (function, [row_id], at_ms)


def test_anything_but_a_wakeup_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[bytes] = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 200,
        b'{"a":' * 40,
        b" " * 10_000,
        pickle.dumps(GOOD),
        pickle.dumps({**GOOD, "a": (7,)}),
        *(json.dumps({**GOOD, **change}).encode() for change in CHANGES),
        json.dumps({key: value for key, value in GOOD.items() if key != "k"}).encode(),
        json.dumps(GOOD).encode("utf-16"),
        b'{"t":null,"f":"work","a":[NaN],"k":{},"et":1}',
    ]
    for raw in cases:
        with subtests.test(raw=raw):
            with pytest.raises(RefusedWakeup) as refused:
                parse_wakeup(raw)
            assert refused.value.__cause__ is None  # a chained error would repeat what was read


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    with contextlib.suppress(RefusedWakeup):
        parse_wakeup(raw)


def with_redis(tmp_path: Path, test: Callable[[EmbeddedRedis, str], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        redis = EmbeddedRedis(tmp_path / "redis")
        url = await redis.start()
        try:
            await test(redis, url)
        finally:
            await redis.stop()

    asyncio.run(run())


class Taker:
    """Remembers the rows that it was told of; `hold` keeps it busy."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def take(self, row_id: int) -> None:
        self.rows.append(row_id)
        await self.hold.wait()

    async def saw(self, *row_ids: int, within_s: float = 5.0) -> None:
        give_up_at_s = time.monotonic() + within_s
        while sorted(self.rows) != sorted(row_ids):
            assert time.monotonic() < give_up_at_s, f"{self.rows} instead of {row_ids}"
            await asyncio.sleep(0.01)


class Serving:
    """A worker of one queue, in the background."""

    def __init__(
        self, url: str, taker: Taker, at_once: int = 2, *, queue: Queue = "light", function: str = "work"
    ) -> None:
        self.refused = 0
        self.worker = QueueWorker(queue, function, taker.take, concurrency=at_once, url=url, refused=self._count)

    def _count(self) -> None:
        self.refused += 1

    async def __aenter__(self) -> Serving:
        self.task = asyncio.create_task(self.worker.serve())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.worker.end()


async def put_raw(url: str, name: str, raw: bytes) -> None:
    redis = open_redis(url)
    await redis.set(job_key_prefix + name, raw)
    await redis.zadd(QUEUES["light"], {name: 1})
    await redis.aclose(close_connection_pool=True)


def test_a_pickle_in_the_queue_is_refused_and_counted_and_the_worker_continues(tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"

    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups = Taker(), Wakeups(url)
        pickled = serialize_job("work", (Bomb(exploded),), {}, None, 1)
        async with Serving(url, taker) as serving:
            await put_raw(url, "w:1:pickled", pickled)
            await put_raw(url, "w:1:foreign", render_wakeup("deliver", 1, 1))  # of another queue
            while serving.refused < 2:
                await asyncio.sleep(0.01)
            await wakeups.announce_jobs("light", [5])
            await taker.saw(5)
        await wakeups.close()

    with_redis(tmp_path, test)
    assert not exploded.exists()


def test_a_malformed_queue_is_cleared(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups = Taker(), Wakeups(url)
        client = open_redis(url)
        await client.zadd(QUEUES["light"], {b"\xff\xfe": 1})
        async with Serving(url, taker) as serving:
            while not serving.refused:
                await asyncio.sleep(0.01)
            await wakeups.announce_jobs("light", [6])
            await taker.saw(6)
        await client.aclose(close_connection_pool=True)
        await wakeups.close()

    with_redis(tmp_path, test)


def test_at_most_one_wakeup_waits_per_job(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        wakeups = Wakeups(url)
        for _ in range(3):
            await wakeups.announce_jobs("light", [1, 2, 3])
        assert await wakeups.waiting("light") == 3
        await wakeups.announce_deliveries([1, 2])
        await wakeups.announce_deliveries([2, 3])
        assert await wakeups.waiting("deliver") == 4  # each may have to be handled
        await wakeups.announce_deliveries([1, 2], unless_waiting=True)
        assert await wakeups.waiting("deliver") == 4
        await wakeups.close()

    with_redis(tmp_path, test)


def test_a_wakeup_in_progress_does_not_hide_a_new_one_for_the_same_row(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups = Taker(), Wakeups(url)
        taker.hold.clear()
        async with Serving(url, taker, at_once=2):
            await wakeups.announce_jobs("light", [5])
            await taker.saw(5)
            while await wakeups.waiting("light"):
                await asyncio.sleep(0.01)
            await wakeups.announce_jobs("light", [5])
            await taker.saw(5, 5)
            taker.hold.set()
        await wakeups.close()

    with_redis(tmp_path, test)


def test_a_wakeup_that_a_killed_worker_had_begun_hides_nothing(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """What arq leaves of such a worker: the wake-up in the queue, and a mark that lasts for a day."""

    async def test(redis: EmbeddedRedis, url: str) -> None:
        wakeups, client = Wakeups(url), open_redis(url)
        for queue, function in (("deliver", "deliver"), ("light", "work"), ("screen", "work"), ("gpu", "train")):
            with subtests.test(queue=queue):
                for number in range(3):
                    await client.zadd(QUEUES[cast(Queue, queue)], {f"x:{number}:begun": 1})
                    await client.set(f"{in_progress_key_prefix}x:{number}:begun", b"1", px=86_400_000)
                taker = Taker()
                async with Serving(url, taker, queue=cast(Queue, queue), function=function):
                    while await wakeups.waiting(cast(Queue, queue)):
                        await asyncio.sleep(0.01)
                    assert taker.rows == []
                    await announce(wakeups, queue, 5)
                    await taker.saw(5)
        await client.aclose(close_connection_pool=True)
        await wakeups.close()

    with_redis(tmp_path, test)


async def announce(wakeups: Wakeups, queue: str, row_id: int) -> None:
    """As the sweeper does."""
    if queue == "deliver":
        await wakeups.announce_deliveries([row_id], unless_waiting=True)
    elif queue == "gpu":
        await wakeups.announce_runs([row_id])
    else:
        await wakeups.announce_jobs(cast(Any, queue), [row_id])


def test_a_wakeup_in_progress_is_in_no_queue_and_marked_nowhere(tmp_path: Path) -> None:
    """So nothing of it outlives a worker that is killed now."""

    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups, client = Taker(), Wakeups(url), open_redis(url)
        taker.hold.clear()
        async with Serving(url, taker, at_once=2):
            await wakeups.announce_jobs("light", [1, 2, 3])
            while len(taker.rows) < 2:
                await asyncio.sleep(0.01)
            assert await wakeups.waiting("light") == 1
            assert not await client.keys(in_progress_key_prefix + "*")
            taker.hold.set()
            await taker.saw(1, 2, 3)
        await client.aclose(close_connection_pool=True)
        await wakeups.close()

    with_redis(tmp_path, test)


def test_two_workers_never_take_the_same_wakeup(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        takers, wakeups = [Taker(), Taker()], Wakeups(url)
        async with Serving(url, takers[0]), Serving(url, takers[1]):
            await wakeups.announce_deliveries([1])  # of another queue
            await wakeups.announce_jobs("light", list(range(1, 41)))
            while len(takers[0].rows) + len(takers[1].rows) < 40:
                await asyncio.sleep(0.01)
            assert sorted(takers[0].rows + takers[1].rows) == list(range(1, 41))
        await wakeups.close()

    with_redis(tmp_path, test)


def test_nothing_of_a_wakeup_stays_in_redis(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups = Taker(), Wakeups(url)
        client = open_redis(url)
        async with Serving(url, taker) as serving:
            await wakeups.announce_jobs("light", [1, 2])
            await taker.saw(1, 2)
            await serving.worker.drained()
            keys = [key for key in await client.keys("*") if not key.endswith(b":health-check")]
            assert keys == []
            assert not await client.keys(in_progress_key_prefix + "*")
        await client.aclose(close_connection_pool=True)
        await wakeups.close()

    with_redis(tmp_path, test)


@pytest.mark.faults
def test_a_redis_that_is_killed_is_started_again_and_the_queue_is_still_there(tmp_path: Path) -> None:
    async def test(redis: EmbeddedRedis, url: str) -> None:
        taker, wakeups = Taker(), Wakeups(url)
        taker.hold.clear()
        async with Serving(url, taker, at_once=1):
            await wakeups.announce_jobs("light", [1, 2])
            await taker.saw(1)
            await asyncio.sleep(1.1)  # the file is written once a second
            before = redis.pid
            os.kill(before, signal.SIGKILL)
            await wakeups.announce_jobs("light", [3])  # lost: raises nothing
            taker.hold.set()
            await taker.saw(1, 2, within_s=10)
            assert redis.pid not in (0, before)
            while not await wakeups.ping():
                await asyncio.sleep(0.01)
            await asyncio.sleep(1.0)  # after a failure it is not asked for a second
            await wakeups.announce_jobs("light", [4])
            await taker.saw(1, 2, 4)
        await wakeups.close()

    with_redis(tmp_path, test)


def test_announcing_without_a_redis_raises_nothing_and_takes_no_time(tmp_path: Path) -> None:
    async def test() -> None:
        wakeups = Wakeups(f"unix://{tmp_path}/none.sock")
        begun_s = time.monotonic()
        for row_id in range(1, 100):
            await wakeups.announce_deliveries([row_id])
            await wakeups.announce_jobs("screen", [row_id])
        assert time.monotonic() - begun_s < 1
        assert not await wakeups.ping()
        await wakeups.close()

    asyncio.run(test())
