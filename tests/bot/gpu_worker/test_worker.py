"""A GPU worker: what wakes it, what it says of itself, and what it does one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import bot.gpu_worker.worker
from bot.gpu_worker.worker import GpuWorker
from bot.jobs.embedded_redis import EmbeddedRedis
from bot.jobs.wakeups import Wakeups
from bot.records import GpuState
from bot.records import GpuWorker as Described
from bot.store.budgets import list_gpu_workers, note_gpu_worker, remove_budget, save_gpu_state
from bot.store.database import Database
from bot.store.runs import all_runs
from tests.bot.gpu_worker.test_attempt import reached
from tests.builders.gpu_bench import OFFICE, SHOP, Bench
from tests.builders.patience import PATIENCE_S

NEVER_S = 600.0


async def all_ended(database: Database) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with database.read() as connection:
                if all(run.state == "ended" for run in await all_runs(connection)):
                    return
            await asyncio.sleep(0.02)


async def stopped(worker: GpuWorker, running: asyncio.Task[None]) -> None:
    worker.stop()
    await asyncio.wait_for(running, PATIENCE_S)


def test_it_looks_by_itself_and_does_one_run_after_the_other(gpu: Bench) -> None:
    gpu.queue(SHOP)
    gpu.queue(OFFICE)

    async def story(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run())
        await all_ended(database)
        await stopped(worker, running)

    gpu.play(story)
    first, second = gpu.ask(all_runs)
    assert (first.ending, second.ending) == ("finished", "finished")
    assert first.ended_at is not None
    assert second.started_at is not None
    assert first.ended_at <= second.started_at


def test_it_needs_no_redis_that_answers(gpu: Bench) -> None:
    gpu.queue()

    async def story(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run(f"unix://{gpu.folder}/nobody.sock"))
        await all_ended(database)
        await stopped(worker, running)

    gpu.play(story)


def test_a_wakeup_is_kept_by_a_busy_worker_so_that_another_takes_the_next(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-1")

    async def story(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run())
        wakeup = asyncio.create_task(worker.take(run.run_id))
        await reached(gpu, run.run_id, "step-1")
        assert not wakeup.done()
        gpu.gates.open("step-1")
        await asyncio.wait_for(wakeup, PATIENCE_S)
        await all_ended(database)
        await stopped(worker, running)

    gpu.play(story)


def test_a_wakeup_wakes_it_at_once(gpu: Bench) -> None:
    async def story(worker: GpuWorker, database: Database) -> None:
        redis = EmbeddedRedis(gpu.folder / "redis")
        url = await redis.start()
        wakeups = Wakeups(url)
        running = asyncio.create_task(worker.run(url))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await seen(database):  # it has looked once by itself before
                    await asyncio.sleep(0.02)
            run = await asyncio.to_thread(gpu.queue)
            await wakeups.announce_runs([run.run_id])
            await all_ended(database)
            assert await wakeups.waiting("gpu") == 0
            await stopped(worker, running)
        finally:
            await wakeups.close()
            await redis.stop()

    gpu.play(story, looks_every_s=NEVER_S)


async def seen(database: Database) -> list[Described]:
    async with database.read() as connection:
        return await list_gpu_workers(connection)


def test_no_more_wakeups_wait_than_there_are_runs(gpu: Bench) -> None:
    async def story(worker: GpuWorker, database: Database) -> None:
        redis = EmbeddedRedis(gpu.folder / "redis")
        wakeups = Wakeups(await redis.start())
        try:
            for _ in range(3):
                await wakeups.announce_runs([1, 2])
            assert await wakeups.waiting("gpu") == 2
        finally:
            await wakeups.close()
            await redis.stop()

    gpu.play(story)


@pytest.mark.parametrize("why", ["paused", "no budget"])
def test_what_may_not_begin_waits(gpu: Bench, why: str) -> None:
    run = gpu.queue()

    async def forbid(connection: Any) -> None:
        if why == "paused":
            await save_gpu_state(connection, GpuState(paused_because="the electricity bill"))
        else:
            await remove_budget(connection, 10)

    gpu.ask(forbid)
    assert gpu.once() is None
    assert gpu.run(run.run_id).state == "queued"


async def seen_as(database: Database, is_so: Callable[[Described], bool]) -> Described:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for worker in await seen(database):
                if is_so(worker):
                    return worker
            await asyncio.sleep(0.01)


def test_it_says_what_it_is_and_how_fast_it_was(gpu: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.gpu_worker.worker, "SEEN_EVERY_S", 0.05)
    gpu.gates.hold("begun")
    gpu.queue()

    async def story(worker: GpuWorker, database: Database) -> tuple[Described, Described]:
        running = asyncio.create_task(worker.run())
        before = await seen_as(database, lambda _: True)
        gpu.gates.open("begun")
        after = await seen_as(database, lambda worker: worker.flops_per_s is not None)
        await stopped(worker, running)
        return before, after

    before, after = gpu.play(story)
    assert (before.name, before.device, before.flops_per_s) == ("one", "pretended", None)
    assert (after.name, after.device, after.flops_per_s) == ("one", "pretended", 3e12)
    assert after.seen_at > before.seen_at


@pytest.mark.parametrize(("device", "flops_per_s"), [("pretended", 7e12), ("another", None)])
def test_it_remembers_how_fast_the_same_device_was(gpu: Bench, device: str, flops_per_s: float | None) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    gpu.ask(lambda connection: note_gpu_worker(connection, Described("one", device, 7e12, long_ago)))

    async def story(worker: GpuWorker, database: Database) -> Described:
        running = asyncio.create_task(worker.run())
        found = await seen_as(database, lambda worker: worker.seen_at > long_ago)
        await stopped(worker, running)
        return found

    found = gpu.play(story)
    assert (found.device, found.flops_per_s) == ("pretended", flops_per_s)
