"""One attempt at a run, with a process that only pretends to train."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from bot.gpu_worker.worker import GpuWorker
from bot.messages.reasons import CANCELLED_AT_WORK, WORKER_STOPPED
from bot.records import Run
from bot.run_progress import load_progress
from bot.runs.end_run import cancel
from bot.store.database import Database
from bot.store.runs import end_run, load_run
from pipeline.finetuning.artifact_store import sha256
from pipeline.finetuning.pair_file import encode_pairs
from tests.builders.gpu_bench import SHOP, Bench
from tests.builders.pair_sets import planted
from tests.builders.patience import PATIENCE_S

pytestmark = pytest.mark.faults


async def reached(gpu: Bench, run_id: int, point: str) -> int:
    """Wait until the process reaches the point; return its pid."""
    async with asyncio.timeout(PATIENCE_S):
        while not (pid := gpu.gates.reached(run_id, point)):
            await asyncio.sleep(0.01)
    return pid


async def state_of(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        found = await load_run(connection, run.installation_id, run.run_id)
    assert found is not None
    return found


def test_a_finished_run_keeps_its_result_and_files(gpu: Bench) -> None:
    pairs = planted(seed=SHOP)
    run = gpu.queue(pairs=pairs)
    done = gpu.once()
    assert done is not None
    assert (done.state, done.ending, done.reason, done.attempts) == ("ended", "finished", None, 1)
    assert done.result is not None
    assert (done.result["outcome"], done.result["input"]) == ("INCONCLUSIVE", sha256(encode_pairs(pairs)))
    assert done.recipe_id == "recipe"
    assert done.spent_minutes > 0
    assert len(done.checkpoints) == 4
    progress = load_progress(done.progress)
    assert progress is not None
    assert gpu.files() == [f"{done.artifacts}/adapter-seed-1/adapter.safetensors", f"{done.artifacts}/result.json"]
    (result,) = gpu.ready_jobs("result")
    assert (result.repository_id, result.arguments) == (SHOP, {"run_id": run.run_id})
    assert list((gpu.folder / "scratch").iterdir()) == []


def test_an_empty_queue_returns_none(gpu: Bench) -> None:
    assert gpu.once() is None


def test_cancelling_a_running_run_kills_its_process(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")

    async def scenario(worker: GpuWorker, database: Database) -> Run | None:
        running = asyncio.create_task(worker.once())
        pid = await reached(gpu, run.run_id, "step-2")
        async with database.write() as connection:
            assert await cancel(connection, run, run.made_at, "nobody reads this")
        done = await running
        assert not is_there(pid)
        return done

    done = gpu.with_worker(scenario)
    assert done is not None
    assert (done.ending, done.reason, done.result, done.artifacts) == ("cancelled", CANCELLED_AT_WORK, None, None)
    assert [job.arguments for job in gpu.ready_jobs("result")] == [{"run_id": run.run_id}]
    assert gpu.files() == []


def test_losing_the_lease_writes_nothing_and_kills_the_process(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")

    async def scenario(worker: GpuWorker, database: Database) -> Run | None:
        running = asyncio.create_task(worker.once())
        pid = await reached(gpu, run.run_id, "step-2")
        held = await state_of(database, run)
        async with database.write() as connection:
            assert await end_run(connection, held, "refused", "as somebody else reason_text", run.made_at)
        done = await running
        assert not is_there(pid)
        return done

    done = gpu.with_worker(scenario)
    assert done is not None
    assert (done.ending, done.reason, done.result) == ("refused", "as somebody else reason_text", None)


def test_a_stopping_worker_requeues_its_run_after_a_checkpoint(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")

    async def scenario(worker: GpuWorker, database: Database) -> Run | None:
        running = asyncio.create_task(worker.once())
        await reached(gpu, run.run_id, "step-2")
        worker.stop()
        gpu.gates.open("step-2")
        return await running

    requeued = gpu.with_worker(scenario)
    assert requeued is not None
    assert (requeued.state, requeued.reason, requeued.attempts, len(requeued.checkpoints)) == (
        "queued",
        WORKER_STOPPED,
        0,
        2,
    )
    done = gpu.once()
    assert done is not None
    assert done.result is not None
    assert (done.ending, done.attempts, done.result["begun_at"]) == ("finished", 1, 2)
    assert done.spent_minutes > requeued.spent_minutes


@pytest.mark.parametrize("twice", [True, False])
def test_a_process_that_does_not_stop_is_killed(gpu: Bench, twice: bool) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")

    async def scenario(worker: GpuWorker, database: Database) -> Run | None:
        running = asyncio.create_task(worker.once())
        pid = await reached(gpu, run.run_id, "step-2")
        worker.stop()
        if twice:
            worker.stop()
        requeued = await running
        assert not is_there(pid)
        return requeued

    requeued = gpu.with_worker(scenario, stop_timeout_s=60.0 if twice else 0.1)
    assert requeued is not None
    assert (requeued.state, requeued.attempts) == ("queued", 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuse", "too few pairs: 3 functions to train on"),
        ("fill the memory", "out of memory: lower micro_batch_tokens, or choose a smaller base model"),
        ("stumble", "it stopped on an error in Assay itself (TypeError in training_process.py, line "),
    ],
)
def test_permanent_failures_end_the_run_immediately(gpu: Bench, fault: str, reason: str) -> None:
    gpu.queue()
    gpu.gates.do("step-1", fault)
    done = gpu.once()
    assert done is not None
    assert (done.state, done.ending, done.attempts) == ("ended", "crashed", 1)
    assert (done.reason or "").startswith(reason)
    assert "private" not in (done.reason or "")


@pytest.mark.parametrize(
    ("fault", "reason_text"),
    [
        ("die", "the training process crashed (signal 11)"),
        ("leave", "the training process ended without a result (exit status 7)"),
        ("say nonsense", "the training process was killed: the machine may be short of memory"),
        ("lose the GPU", "the GPU was lost"),
        ("lose the store", "the store of adapters and checkpoints could not be read or written"),
    ],
)
def test_transient_failures_are_tried_three_times(gpu: Bench, fault: str, reason_text: str) -> None:
    gpu.queue()
    gpu.gates.do("step-1", fault)
    for attempt in (1, 2):
        requeued = gpu.once()
        assert requeued is not None
        assert (requeued.state, requeued.reason, requeued.attempts) == (
            "queued",
            f"{reason_text}: it resumes from its last checkpoint",
            attempt,
        )
        gpu.write(lambda connection: change(connection, "not_before = queued_at"))
    done = gpu.once()
    assert done is not None
    assert (done.ending, done.reason) == ("crashed", f"{reason_text}; attempt 3 was the last")


async def change(connection: Any, what: str) -> None:
    await connection.execute(text(f"UPDATE runs SET {what}"))


def test_a_run_ends_at_its_hard_time_limit(gpu: Bench) -> None:
    gpu.queue(recipe={"max_minutes": 0.01})
    gpu.gates.hold("step-1")
    gpu.write(lambda connection: change(connection, "spent_minutes = 10.1"))
    done = gpu.once()
    assert done is not None
    assert done.ending == "timed_out"
    assert (done.reason or "").startswith("it was stopped after 10 minutes: training may take 0.01 minutes")


def test_a_base_model_no_longer_listed_is_refused(gpu: Bench) -> None:
    gpu.queue(base_model="acme/older")
    done = gpu.once()
    assert done is not None
    assert (done.ending, done.attempts) == ("refused", 1)
    assert done.reason == "its base model is no longer allowed here"


def test_missing_pairs_end_the_run_with_advice(gpu: Bench) -> None:
    gpu.queue()
    gpu.artifacts.remove_repository(10, SHOP)
    done = gpu.once()
    assert done is not None
    assert (done.ending, done.reason) == (
        "crashed",
        "the pairs that were collected for it are no longer stored: request it again",
    )


def is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
