"""A worker runs the fair next job, announces what can start, and claims nothing once it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from bot.handlers.installations.delivery import deliver
from bot.jobs.context import Done, Handler, Handlers, JobContext, Later, Outcome
from bot.jobs.lanes import CAPS
from bot.jobs.worker import JobRunner
from bot.records import JobKind
from bot.store.installations import save_installation
from bot.store.jobs import delay_jobs, free_turns, load_job, recent_jobs, request_job
from bot.store.repositories import save_repository
from tests.bot.conftest import ACME, SHOP, Shop, Story

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
