"""No run stays open for ever, and only runs that can start are announced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.handlers.finetuning.stale_runs import MAX_VANISHED, sweep_runs
from bot.messages.reasons import NO_GPU_WORKER, NOT_PREPARED, WORKER_VANISHED
from bot.records import Run
from bot.store.jobs import cancel_jobs, finish_job, ready_jobs
from bot.store.runs import claim_run, load_run, request_cancellation
from tests.bot.conftest import Shop, Story
from tests.bot.runs.test_end_run import a_run, told
from tests.simulator.clocks import START

Play = Callable[[Story], None]


async def now_of(shop: Shop, run: Run) -> Run:
    found: Run = await shop.read(load_run, 10, run.run_id)
    return found


async def vanish(shop: Shop) -> None:
    """A GPU worker takes the run and is never heard of again."""
    assert await shop.write(lambda c: claim_run(c, "gpu", shop.clock.now(), datetime.now(UTC), lease_s=-1)) is not None


def test_a_run_of_a_vanished_gpu_worker_continues_on_another_up_to_a_limit(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        for attempt in range(1, MAX_VANISHED):
            await vanish(shop)
            await sweep_runs(shop.parts)
            left = await now_of(shop, run)
            assert (left.state, left.attempts, left.reason) == ("queued", attempt, WORKER_VANISHED)
        assert len(await shop.read(ready_jobs, START, ["reply"], 9)) == 1
        await vanish(shop)
        await sweep_runs(shop.parts)
        left = await now_of(shop, run)
        assert (left.ending, left.reason) == ("crashed", "its GPU worker disappeared; attempt 5 was the last")
        assert len(await told(shop)) == 1

    play(story)


def test_a_run_with_a_pending_cancellation_is_not_restarted(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        await vanish(shop)
        await shop.write(request_cancellation, await now_of(shop, run))
        await sweep_runs(shop.parts)
        assert (await now_of(shop, run)).ending == "cancelled"
        assert len(await told(shop)) == 1

    play(story)


def test_a_run_under_a_valid_lease_is_left_alone(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "running")
        await sweep_runs(shop.parts)
        assert await now_of(shop, run) == run

    play(story)


def test_runs_that_wait_for_a_gpu_worker_are_announced(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        await sweep_runs(shop.parts)
        assert shop.announced.runs == [run.run_id]

    play(story)


async def prepare(shop: Shop, run: Run) -> None:
    await shop.ask_for("prepare", key=str(run.run_id), arguments={"run_id": run.run_id})


@pytest.mark.parametrize(
    ("state", "reason", "wanted"),
    [
        ("failed", "GitHub cannot be reached", f"{NOT_PREPARED}: GitHub cannot be reached"),
        ("done", "", NOT_PREPARED),
        ("cancelled", "", f"{NOT_PREPARED}: suspended"),
        ("none", "", NOT_PREPARED),
    ],
)
def test_a_run_without_a_preparing_job_ends(play: Play, state: Any, reason: str, wanted: str) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "waiting")
        if state != "none":
            await prepare(shop, run)
        if state == "cancelled":
            await shop.write(lambda c: cancel_jobs(c, 10, 100, reason="suspended"))
        elif state != "none":
            job = await shop.claimed("screen")
            await shop.write(finish_job, job, state, START, reason)
        await sweep_runs(shop.parts)
        left = await now_of(shop, run)
        assert (left.ending, left.reason) == ("crashed", wanted)
        assert len(await told(shop)) == 1

    play(story)


@pytest.mark.parametrize("at_work", [True, False])
def test_a_run_that_is_being_prepared_is_left_alone(play: Play, at_work: bool) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "waiting")
        await prepare(shop, run)
        if at_work:
            await shop.claimed("screen")
        await sweep_runs(shop.parts)
        assert (await now_of(shop, run)).state == "waiting"

    play(story)


@pytest.mark.parametrize(("days", "state"), [(14.0, "queued"), (14.1, "ended")])
def test_a_run_does_not_wait_for_a_gpu_worker_for_ever(play: Play, days: float, state: str) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        shop.clock.advance(timedelta(days=days).total_seconds())
        await sweep_runs(shop.parts)
        left = await now_of(shop, run)
        assert (left.state, left.reason) == (state, NO_GPU_WORKER if state == "ended" else None)

    play(story)
