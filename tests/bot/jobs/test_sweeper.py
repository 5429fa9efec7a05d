"""Unannounced work, jobs of dead workers, and periodic jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from bot.calibration.calibration_source import CalibrationSource
from bot.handlers.registry import HANDLERS
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.sweeper import DIED, PERIODS, Sweeper, is_due
from bot.records import Event, JobKind
from bot.store.jobs import finish_job, ready_jobs
from bot.store.screenings import newest_screening
from pipeline.calibration.calibration_set import replay
from tests.bot.conftest import Shop, Story
from tests.builders.seeds import seed
from tests.simulator.clocks import START

Play = Callable[[Story], None]
HOUR = timedelta(hours=1)


async def nothing() -> None:
    pass


def sweeper(shop: Shop) -> Sweeper:
    return Sweeper(shop.parts, nothing)


def test_an_unannounced_delivery_is_announced(play: Play) -> None:
    async def story(shop: Shop) -> None:
        delivery_id = await shop.deliver("g1", Event("ping"))
        await sweeper(shop).sweep()
        assert shop.announced.deliveries == []  # whoever received it is about to
        shop.clock.advance(3)
        await sweeper(shop).sweep()
        assert shop.announced.deliveries == [delivery_id]

    play(story)


def test_a_job_of_a_dead_worker_is_reopened(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("screen")
        await shop.claimed("screen", lease_s=0.2)
        await sweeper(shop).sweep()
        assert (await shop.job(1)).state == "running"
        await asyncio.sleep(0.25)
        await sweeper(shop).sweep()
        job = await shop.job(1)
        assert (job.state, job.attempts, job.reason) == ("open", 1, DIED)

    play(story)


def test_a_screening_that_kills_every_worker_fails_with_a_reason(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("screen")
        for _ in range(5):
            await shop.claimed("screen", lease_s=0)
            await asyncio.gather(sweeper(shop).sweep(), sweeper(shop).sweep())
        assert (await shop.job(1)).state == "failed"
        assert (await shop.read(newest_screening, 10, 100)).failure == f"{DIED}, 5 times in a row"
        posts = [(await shop.job(job_id)).kind for job_id in await shop.read(ready_jobs, START, ["post"], 9)]
        assert posts == ["post"]

    play(story)


def test_periodic_jobs_are_requested_when_due_and_when_a_worker_starts(play: Play) -> None:
    async def story(shop: Shop) -> None:
        async def due() -> list[JobKind]:
            found = []
            while (job := await shop.claim()) is not None:
                found.append(job.kind)
                async with shop.database.write() as connection:
                    await finish_job(connection, job, "done", shop.clock.now())
            return sorted(found)

        await sweeper(shop).sweep(starting=True)
        assert await due() == ["purge", "reconcile"]
        await sweeper(shop).sweep()
        assert await due() == []
        shop.clock.advance(timedelta(minutes=10))
        await asyncio.gather(sweeper(shop).sweep(), sweeper(shop).sweep())
        assert await due() == ["purge"]
        shop.clock.advance(HOUR)
        await sweeper(shop).sweep()
        assert await due() == ["purge", "reconcile"]
        await sweeper(shop).sweep(starting=True)
        assert await due() == ["purge", "reconcile"]

    play(story)


def test_a_sweeper_runs_its_tasks_when_it_starts(play: Play) -> None:
    async def story(shop: Shop) -> None:
        parts = replace(shop.parts, calibrations=CalibrationSource(lambda: replay((), seed())))
        sweeping = asyncio.create_task(Sweeper(parts, nothing, HANDLERS.sweep).run())
        async with asyncio.timeout(20):
            while not await shop.read(ready_jobs, shop.clock.now(), ["recalibrate"], 9):
                await asyncio.sleep(0.02)
        await cancel_and_wait([sweeping])
        (job_id,) = await shop.read(ready_jobs, shop.clock.now(), ["recalibrate"], 9)
        job = await shop.job(job_id)
        assert (job.installation_id, job.repository_id) == (10, 0)

    play(story)


def test_a_malformed_bookmark_counts_as_never() -> None:
    cases: list[tuple[object, bool]] = [
        (None, True),
        ("yesterday", True),
        ("2026-03-02T09:00:00", True),  # without a zone
        (START.isoformat(), False),
        ((START - PERIODS["reconcile"]).isoformat(), True),
        ((START + 2 * HOUR).isoformat(), True),  # a clock that was set back
        ([1], True),
    ]
    wrong = [
        (bookmark, got, due) for bookmark, due in cases if (got := is_due(bookmark, "reconcile", START)) is not due
    ]
    assert wrong == []
