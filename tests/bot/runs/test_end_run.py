"""Every ended run requests its report exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.records import Job, Run
from bot.runs.end_run import cancel, end_and_report, finish_and_report
from bot.store.budgets import set_budget
from bot.store.jobs import LostLease, ready_jobs
from bot.store.repositories import delete_repository
from bot.store.runs import RunRequest, claim_run, load_run, open_run, queue_run
from tests.bot.conftest import Shop, Story
from tests.simulator.clocks import START

Play = Callable[[Story], None]
REQUEST = RunRequest(
    purpose="judge", head_sha="a" * 40, base_model="acme/coder", recipe={}, label_recipe_id="0123456789ab"
)


async def a_run(shop: Shop, state: str) -> Run:
    """The one run of the shop, brought as far as that."""
    await shop.write(set_budget, 10, 100.0, 1, START)
    run, _ = await shop.write(open_run, 10, 100, REQUEST, START)
    if state != "waiting":
        await shop.write(lambda c: queue_run(c, run, pair_set_id="p", minutes=5.0, month="2026-11", now=START))
    if state in ("running", "ended"):
        await shop.write(lambda c: claim_run(c, "gpu", START, datetime.now(UTC), lease_s=60))
    run = await shop.read(load_run, 10, run.run_id)
    if state == "ended":
        await shop.write(lambda c: finish_and_report(c, run, "finished", "", START, spent_minutes=1.0))
        run = await shop.read(load_run, 10, run.run_id)
    return run


async def told(shop: Shop) -> list[Job]:
    return [await shop.job(job_id) for job_id in await shop.read(ready_jobs, START, ["result"], 9)]


@pytest.mark.parametrize("state", ["waiting", "queued", "running"])
def test_a_run_ended_by_a_bot_worker_is_reported(play: Play, state: str) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, state)
        assert await shop.write(end_and_report, run, "refused", "too little", START)
        ended = await shop.read(load_run, 10, run.run_id)
        assert (ended.state, ended.ending, ended.reason) == ("ended", "refused", "too little")
        (job,) = await told(shop)
        assert (job.repository_id, job.arguments) == (100, {"run_id": run.run_id})

    play(story)


def test_a_run_that_changed_hands_is_neither_ended_nor_reported(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        await shop.write(lambda c: claim_run(c, "gpu", START, datetime.now(UTC), lease_s=60))
        assert not await shop.write(end_and_report, run, "refused", "too little", START)
        assert await told(shop) == []

    play(story)


def test_a_gpu_worker_that_lost_its_run_reports_nothing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "running")
        await shop.write(end_and_report, run, "cancelled", "enough", START)
        with pytest.raises(LostLease):
            await shop.write(lambda c: finish_and_report(c, run, "finished", "", START, spent_minutes=1.0))
        assert (await shop.read(load_run, 10, run.run_id)).ending == "cancelled"

    play(story)


@pytest.mark.parametrize(
    ("state", "wanted", "after", "asked"),
    [
        ("waiting", True, "ended", False),
        ("queued", True, "ended", False),
        ("running", True, "running", True),
        ("ended", False, "ended", False),
    ],
)
def test_cancelling_ends_an_idle_run_and_asks_a_running_one(
    play: Play, state: str, wanted: bool, after: str, asked: bool
) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, state)
        assert await shop.write(cancel, run, START, "somebody cancelled it") is wanted
        left = await shop.read(load_run, 10, run.run_id)
        assert (left.state, left.cancel_asked) == (after, asked)
        assert len(await told(shop)) == (after == "ended")
        if wanted and after == "ended":
            assert (left.ending, left.reason) == ("cancelled", "somebody cancelled it")

    play(story)


def test_a_run_that_started_since_it_was_read_is_cancelled_too(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        await shop.write(lambda c: claim_run(c, "gpu", START, datetime.now(UTC), lease_s=60))
        answers: list[Awaitable[Any]] = [shop.write(cancel, run, START, "twice") for _ in range(2)]
        assert await asyncio.gather(*answers) == [True, True]
        assert (await shop.read(load_run, 10, run.run_id)).cancel_asked

    play(story)


def test_a_deleted_run_is_not_cancelled(play: Play) -> None:
    async def story(shop: Shop) -> None:
        run = await a_run(shop, "queued")
        await shop.write(delete_repository, 10, 100)
        assert not await shop.write(cancel, run, START, "too late")

    play(story)
