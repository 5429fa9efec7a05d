"""A GPU worker: polling and wake-ups, its heartbeat, and one run after another."""

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
from bot.records import GpuWorker as GpuWorkerRecord
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


async def stop(worker: GpuWorker, running: asyncio.Task[None]) -> None:
    worker.stop()
    await asyncio.wait_for(running, PATIENCE_S)


def test_it_polls_and_runs_one_run_after_another(gpu: Bench) -> None:
    gpu.queue(SHOP)
    gpu.queue(OFFICE)

    async def scenario(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run())
        await all_ended(database)
        await stop(worker, running)

    gpu.with_worker(scenario)
    first, second = gpu.write(all_runs)
    assert (first.ending, second.ending) == ("finished", "finished")
    assert first.ended_at is not None
    assert second.started_at is not None
    assert first.ended_at <= second.started_at


def test_it_works_without_redis(gpu: Bench) -> None:
    gpu.queue()

    async def scenario(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run(f"unix://{gpu.folder}/nobody.sock"))
        await all_ended(database)
        await stop(worker, running)

    gpu.with_worker(scenario)


def test_a_busy_worker_holds_its_wakeup(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-1")

    async def scenario(worker: GpuWorker, database: Database) -> None:
        running = asyncio.create_task(worker.run())
        wakeup = asyncio.create_task(worker.wake(run.run_id))
        await reached(gpu, run.run_id, "step-1")
        assert not wakeup.done()
        gpu.gates.open("step-1")
        await asyncio.wait_for(wakeup, PATIENCE_S)
        await all_ended(database)
        await stop(worker, running)

    gpu.with_worker(scenario)


def test_a_wakeup_starts_a_poll(gpu: Bench) -> None:
    async def scenario(worker: GpuWorker, database: Database) -> None:
        redis = EmbeddedRedis(gpu.folder / "redis")
        url = await redis.start()
        wakeups = Wakeups(url)
        running = asyncio.create_task(worker.run(url))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await known_workers(database):  # it has polled once before
                    await asyncio.sleep(0.02)
            run = await asyncio.to_thread(gpu.queue)
            await wakeups.announce_runs([run.run_id])
            await all_ended(database)
            assert await wakeups.waiting("gpu") == 0
            await stop(worker, running)
        finally:
            await wakeups.close()
            await redis.stop()

    gpu.with_worker(scenario, poll_every_s=NEVER_S)


async def known_workers(database: Database) -> list[GpuWorkerRecord]:
    async with database.read() as connection:
        return await list_gpu_workers(connection)


def test_one_wakeup_is_queued_per_run(gpu: Bench) -> None:
    async def scenario(worker: GpuWorker, database: Database) -> None:
        redis = EmbeddedRedis(gpu.folder / "redis")
        wakeups = Wakeups(await redis.start())
        try:
            for _ in range(3):
                await wakeups.announce_runs([1, 2])
            assert await wakeups.waiting("gpu") == 2
        finally:
            await wakeups.close()
            await redis.stop()

    gpu.with_worker(scenario)


@pytest.mark.parametrize("why", ["paused", "no budget"])
def test_a_run_that_may_not_start_stays_queued(gpu: Bench, why: str) -> None:
    run = gpu.queue()

    async def forbid(connection: Any) -> None:
        if why == "paused":
            await save_gpu_state(connection, GpuState(paused_because="the electricity bill"))
        else:
            await remove_budget(connection, 10)

    gpu.write(forbid)
    assert gpu.once() is None
    assert gpu.run(run.run_id).state == "queued"


async def worker_matching(database: Database, matches: Callable[[GpuWorkerRecord], bool]) -> GpuWorkerRecord:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for worker in await known_workers(database):
                if matches(worker):
                    return worker
            await asyncio.sleep(0.01)


def test_the_heartbeat_records_device_and_speed(gpu: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.gpu_worker.worker, "HEARTBEAT_EVERY_S", 0.05)
    gpu.gates.hold("begun")
    gpu.queue()

    async def scenario(worker: GpuWorker, database: Database) -> tuple[GpuWorkerRecord, GpuWorkerRecord]:
        running = asyncio.create_task(worker.run())
        before = await worker_matching(database, lambda _: True)
        gpu.gates.open("begun")
        after = await worker_matching(database, lambda worker: worker.flops_per_s is not None)
        await stop(worker, running)
        return before, after

    before, after = gpu.with_worker(scenario)
    assert (before.name, before.device, before.flops_per_s) == ("one", "pretended", None)
    assert (after.name, after.device, after.flops_per_s) == ("one", "pretended", 3e12)
    assert after.seen_at > before.seen_at


@pytest.mark.parametrize(("device", "flops_per_s"), [("pretended", 7e12), ("another", None)])
def test_the_speed_of_the_same_device_is_remembered(gpu: Bench, device: str, flops_per_s: float | None) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    gpu.write(lambda connection: note_gpu_worker(connection, GpuWorkerRecord("one", device, 7e12, long_ago)))

    async def scenario(worker: GpuWorker, database: Database) -> GpuWorkerRecord:
        running = asyncio.create_task(worker.run())
        record = await worker_matching(database, lambda worker: worker.seen_at > long_ago)
        await stop(worker, running)
        return record

    record = gpu.with_worker(scenario)
    assert (record.device, record.flops_per_s) == ("pretended", flops_per_s)
