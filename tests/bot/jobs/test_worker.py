"""A worker runs the fair next job, announces what can start, and claims nothing once it stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.handlers.installations.delivery import deliver
from bot.jobs.cancellation import cancel_and_wait
from bot.jobs.context import Done, Handler, Handlers, JobContext, Later, Outcome
from bot.jobs.lanes import CAPS, KINDS, Lane
from bot.jobs.shares import SLOW_AFTER_S, WAITS, Held
from bot.jobs.worker import JobRunner
from bot.records import Job, JobKind
from bot.store.installations import save_installation
from bot.store.jobs import delay_jobs, free_turns, load_job, recent_jobs, request_job
from bot.store.repositories import save_repository
from tests.bot.conftest import ACME, SHOP, Shop, Story
from tests.builders.patience import PATIENCE_S

Play = Callable[[Story], None]
MINUTE = timedelta(minutes=1)
CAPPED: dict[JobKind, int] = {"screen": 2}


async def more_repositories(shop: Shop, installation_id: int, repositories: int) -> None:
    """Each with a screening to be done."""
    async with shop.database.write() as connection:
        installed = replace(ACME, installation_id=installation_id)
        await save_installation(connection, installed, shop.clock.now())
        for number in range(200, 200 + repositories):
            await save_repository(connection, replace(SHOP, installation_id=installation_id, repository_id=number))
            await request_job(connection, installation_id, number, "screen", shop.clock.now())


class Doing:
    """A handler that remembers whose jobs it did; `hold` keeps it busy."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, context: JobContext) -> Outcome:
        self.done.append(context.installation_id)
        await self.hold.wait()
        return Done()


def handlers(handler: Handler) -> Handlers:
    """One handler for every kind of job."""
    return Handlers(dict.fromkeys(CAPS, handler), deliver)


def test_only_jobs_that_can_start_are_announced(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 5)
        runner, now = JobRunner(shop.parts, handlers(Doing().handle)), shop.clock.now()
        assert await shop.read(free_turns, now, CAPPED) == 2
        await runner.announce_ready()
        assert len(shop.announced.jobs) == 2
        await shop.claimed("screen")
        assert await shop.read(free_turns, now, CAPPED) == 1
        await more_repositories(shop, 12, 1)
        assert await shop.read(free_turns, now, CAPPED) == 2
        assert await shop.read(free_turns, now - MINUTE, CAPPED) == 0
        assert await shop.read(free_turns, now, {"post": 1}) == 0

    play(story)


def test_installations_take_turns(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 4)
        await more_repositories(shop, 12, 1)
        doing = Doing()
        runner = JobRunner(shop.parts, handlers(doing.handle))
        for _ in range(6):
            await runner.take("screen")
        assert sorted(doing.done[:2]) == [11, 12]
        assert doing.done[2:] == [11, 11, 11]

    play(story)


def test_an_installation_runs_two_screenings_concurrently_and_not_three(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 5)
        doing = Doing()
        doing.hold.clear()
        runner = JobRunner(shop.parts, handlers(doing.handle))
        taking = [asyncio.create_task(runner.take("screen")) for _ in range(4)]
        await asyncio.wait(taking, timeout=0.3)
        assert doing.done == [11, 11]
        doing.hold.set()
        await asyncio.gather(*taking)

    play(story)


class Aged(JobRunner):
    """Whose screenings are as old as a test wants."""

    age_s = 0.0

    def _held(self, lane: Lane) -> list[Held]:
        return [replace(held, age_s=held.age_s + self.age_s) for held in super()._held(lane)]


async def took(doing: Doing, *installations: int) -> None:
    """Until the jobs of these have begun, in this order."""
    async with asyncio.timeout(PATIENCE_S):
        while doing.done != list(installations):
            await asyncio.sleep(0.01)


async def serve(runner: JobRunner, lane: Lane, slots: int) -> None:
    """Take jobs in so many slots, until cancelled."""

    async def slot() -> None:
        while True:
            await runner.take(lane)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(slot() for _ in range(slots)))


def serve_held(shop: Shop) -> tuple[Doing, Aged, asyncio.Task[None]]:
    """Serve two slots with screenings that go on until `hold` is set."""
    doing = Doing()
    doing.hold.clear()
    runner = Aged(shop.parts, handlers(doing.handle))
    return doing, runner, asyncio.create_task(serve(runner, "screen", 2))


def test_a_newcomer_gets_a_slot_of_whoever_holds_all(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 3)
        doing, runner, serving = serve_held(shop)
        await took(doing, 11, 11)
        await more_repositories(shop, 12, 2)
        await runner.rebalance()  # it has not waited yet
        shop.clock.advance(WAITS)
        await runner.rebalance()  # the others have just begun
        runner.age_s = 15.0
        await took(doing, 11, 11)
        await runner.rebalance()
        await took(doing, 11, 11, 12)
        shop.clock.advance(MINUTE)
        await runner.rebalance()  # it has one now
        assert doing.done == [11, 11, 12]
        doing.hold.set()
        await took_all(doing, {11: 4, 12: 2})  # one of them twice
        runner.stop()
        await cancel_and_wait([serving])

    play(story)


async def took_all(doing: Doing, expected: dict[int, int]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while Counter(doing.done) != Counter(expected):
            await asyncio.sleep(0.01)


def test_a_third_installation_waits_for_no_slow_clone_of_two_others(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 1)
        await more_repositories(shop, 12, 1)
        doing, runner, serving = serve_held(shop)
        await took(doing, 11, 12)
        await more_repositories(shop, 13, 1)
        shop.clock.advance(WAITS)
        await runner.rebalance()
        assert doing.done == [11, 12]
        runner.age_s = SLOW_AFTER_S
        await runner.rebalance()
        await took(doing, 11, 12, 13)
        (yielded,) = [job for job in await all_jobs(shop, 11) if job.state == "open"]
        assert (yielded.attempts, yielded.reason) == (0, "another installation was waiting")
        doing.hold.set()
        shop.clock.advance(MINUTE)
        await took_all(doing, {11: 2, 12: 1, 13: 1})
        runner.stop()
        await cancel_and_wait([serving])

    play(story)


async def all_jobs(shop: Shop, installation_id: int) -> list[Job]:
    return list(await shop.read(recent_jobs, installation_id, 200, "screen", shop.clock.now() - MINUTE))


def test_an_installation_alone_uses_every_slot_up_to_its_cap(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await more_repositories(shop, 11, 3)
        doing, runner, serving = serve_held(shop)
        await took(doing, 11, 11)
        runner.age_s = 10_000.0
        shop.clock.advance(MINUTE)
        await runner.rebalance()
        assert doing.done == [11, 11]
        runner.stop()
        await cancel_and_wait([serving])

    play(story)


@pytest.mark.parametrize("lane", ["light", "screen"])
def test_an_installation_leaves_the_last_slot_of_a_lane_to_others(play: Play, lane: Lane) -> None:
    """Whatever kinds of jobs it has: each kind has a cap of its own, and together they could take every slot."""

    async def story(shop: Shop) -> None:
        await more_repositories(shop, 12, 0)
        now = shop.clock.now()
        async with shop.database.write() as connection:
            for kind in KINDS[lane]:
                await request_job(connection, 10, 100, kind, now)
            await request_job(connection, 12, 200, KINDS[lane][0], now + MINUTE)
        doing = Doing()
        doing.hold.clear()
        policy = replace(shop.policy, light_jobs=2, screenings=2)
        runner = JobRunner(replace(shop.parts, policy=policy), handlers(doing.handle))
        first = asyncio.create_task(runner.take(lane))
        await took(doing, 10)
        shop.clock.advance(MINUTE)
        second = asyncio.create_task(runner.take(lane))
        await took(doing, 10, 12)
        runner.stop()
        await cancel_and_wait([first, second])

    play(story)


def test_a_stopping_worker_claims_nothing_and_returns_its_jobs(play: Play) -> None:
    async def story(shop: Shop) -> None:
        job_id = await shop.ask_for("screen")
        doing = Doing()
        doing.hold.clear()
        runner = JobRunner(shop.parts, handlers(doing.handle))
        taking = asyncio.create_task(runner.take("screen"))
        while not doing.done:
            await asyncio.sleep(0.01)
        runner.stop()
        await asyncio.wait_for(taking, 5)
        await runner.take("screen")
        job = await shop.read(load_job, job_id)
        assert (job.state, job.attempts) == ("open", 0)

    play(story)


def test_a_broken_handler_or_delivery_ends_no_worker(play: Play) -> None:
    async def story(shop: Shop) -> None:
        async def broken(context: JobContext) -> Outcome:
            raise RuntimeError("a bug")

        await shop.ask_for("post")
        runner = JobRunner(shop.parts, handlers(broken))
        await runner.take("light")
        assert (await shop.job(1)).state == "open"
        await shop.database.close()
        await runner.take_delivery(99)
        await runner.take("light")

    play(story)


def test_a_rate_limit_delays_the_other_jobs_of_the_kind(play: Play) -> None:
    async def story(shop: Shop) -> None:
        now = shop.clock.now()
        async with shop.database.write() as connection:
            due = [await request_job(connection, 10, number, "post", now) for number in (1, 2)]
            far = await request_job(connection, 10, 3, "post", now, not_before=now + 9 * MINUTE)
            others = [
                await request_job(connection, 11, 1, "post", now),
                await request_job(connection, 10, 1, "screen", now),
            ]
            assert await delay_jobs(connection, 10, "post", now + MINUTE) == 2
        assert [(await shop.job(job_id)).not_before - now for job_id in due] == [MINUTE, MINUTE]
        assert (await shop.job(far)).not_before == now + 9 * MINUTE
        assert [(await shop.job(job_id)).not_before for job_id in others] == [now, now]

    play(story)


def test_recent_jobs_are_those_of_one_repository_and_kind(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("command", key="old")
        shop.clock.advance(MINUTE)
        await shop.ask_for("command", key="new")
        await shop.ask_for("post")
        jobs = await shop.read(recent_jobs, 10, 100, "command", shop.clock.now())
        assert [job.job_id for job in jobs] == [2]

    play(story)


def test_a_rescheduled_job_runs_when_it_is_due(play: Play) -> None:
    async def story(shop: Shop) -> None:
        outcomes: list[Outcome] = [Later(shop.clock.now() + MINUTE, "no room"), Done()]

        async def handler(context: JobContext) -> Outcome:
            return outcomes.pop(0)

        await shop.ask_for("post")
        runner = JobRunner(shop.parts, handlers(handler))
        await runner.take("light")
        await runner.take("light")
        assert len(outcomes) == 1
        shop.clock.advance(MINUTE)
        await runner.take("light")
        assert outcomes == []
        assert (await shop.job(1)).state == "done"

    play(story)
