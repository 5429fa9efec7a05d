"""A handler's outcome is recorded in its row, and a lost lease ends the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.github.errors import BadToken, Forbidden, NotFound, RateLimited, Rejected, Suspended, Unavailable
from bot.jobs.context import Done, Handler, JobContext, Later, Outcome
from bot.jobs.lease import RunningJob, Stopping
from bot.jobs.retry import NotYet, StillAway
from bot.jobs.settle import settle
from bot.records import JobKind
from bot.store.installations import load_installation, recall_installation
from bot.store.jobs import LostLease, cancel_jobs, ready_jobs, request_job
from bot.store.repositories import load_repository, note_error
from bot.store.screenings import newest_screening
from tests.bot.conftest import Shop, Story

Play = Callable[[Story], None]
HOUR = timedelta(hours=1)


def raising(error: Exception) -> Handler:
    async def handler(context: JobContext) -> Outcome:
        raise error

    return handler


def answering(outcome: Outcome) -> Handler:
    async def handler(context: JobContext) -> Outcome:
        return outcome

    return handler


async def for_ever(context: JobContext) -> Outcome:
    await asyncio.sleep(3600)
    return Done()


async def do(shop: Shop, handler: Handler, kind: JobKind = "post") -> str:
    """Ask for a job, take it, do it; what became of it."""
    await shop.ask_for(kind)
    job = await shop.claimed("screen" if kind == "screen" else "light")
    return await settle(RunningJob(JobContext(job, shop.parts), handler))


def test_done_and_later_are_recorded(play: Play) -> None:
    async def story(shop: Shop) -> None:
        assert await do(shop, answering(Later(shop.clock.now() + HOUR, "no room"))) == "later"
        job = await shop.job(1)
        assert (job.state, job.attempts, job.reason) == ("open", 0, "no room")
        assert job.not_before == shop.clock.now() + HOUR
        shop.clock.advance(HOUR)
        assert await do(shop, answering(Done("nothing new"))) == "done"
        assert ((await shop.job(1)).state, (await shop.job(1)).reason) == ("done", "nothing new")

    play(story)


def test_an_effect_and_the_end_of_its_job_commit_together(play: Play) -> None:
    async def handler(context: JobContext) -> Outcome:
        async with context.conclusion("said") as connection:
            await note_error(connection, 10, 100, "written")
        return Done("not said")

    async def story(shop: Shop) -> None:
        assert await do(shop, handler) == "done"
        assert (await shop.job(1)).reason == "said"
        assert (await shop.read(load_repository, 10, 100)).last_error == "written"

    play(story)


def test_a_job_requested_meanwhile_runs_next(play: Play) -> None:
    async def story(shop: Shop) -> None:
        async def handler(context: JobContext) -> Outcome:
            await shop.ask_for("post", arguments={"again": True})
            async with context.conclusion():
                pass
            return Done()

        assert await do(shop, handler) == "done"
        job = await shop.job(1)
        assert (job.state, dict(job.arguments)) == ("open", {"again": True})

    play(story)


@pytest.mark.parametrize(
    ("error", "said", "state", "attempts"),
    [
        (Unavailable("502"), "again", "open", 0),
        (BadToken("401"), "again", "open", 1),
        (KeyError("a bug"), "again", "open", 1),
        (Forbidden("403"), "failed", "failed", 1),
    ],
)
def test_an_error_is_recorded_in_the_row(play: Play, error: Exception, said: str, state: str, attempts: int) -> None:
    async def story(shop: Shop) -> None:
        assert await do(shop, raising(error)) == said
        job = await shop.job(1)
        assert (job.state, job.attempts) == (state, attempts)
        assert job.reason
        assert "a bug" not in job.reason.replace("a bug in Assay", "")  # no text of foreign errors in a row

    play(story)


def test_a_rate_limit_only_waits(play: Play) -> None:
    async def story(shop: Shop) -> None:
        until = shop.clock.now() + HOUR
        assert await do(shop, raising(RateLimited("slow down", until))) == "again"
        job = await shop.job(1)
        assert (job.state, job.attempts, job.not_before) == ("open", 0, until)
        assert await shop.claim() is None

    play(story)


def test_after_five_attempts_it_fails(play: Play) -> None:
    async def story(shop: Shop) -> None:
        said = []
        for _ in range(5):
            said.append(await do(shop, raising(Rejected("422"))))
            shop.clock.advance(HOUR)
        assert said == ["again"] * 4 + ["failed"]
        assert (await shop.read(load_repository, 10, 100)).last_error == "post: GitHub rejected the request"

    play(story)


def test_an_outage_is_outlasted_for_three_days_and_shown_meanwhile(play: Play) -> None:
    async def story(shop: Shop) -> None:
        said = [await do(shop, raising(Unavailable("502")))]
        assert (await shop.read(load_repository, 10, 100)).last_error == "", "it may pass within seconds"
        while said[-1] == "again" and len(said) < 100:
            shop.clock.advance(HOUR)
            said.append(await do(shop, raising(Unavailable("502"))))
            assert (await shop.read(load_repository, 10, 100)).last_error == "post: GitHub cannot be reached"
        assert said == ["again"] * 72 + ["failed"]

    play(story)


def test_an_outage_of_days_is_stored_as_no_failure_of_the_repository(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await do(shop, raising(StillAway("the server is not available")), "screen")
        shop.clock.advance(timedelta(days=3))
        assert await do(shop, raising(StillAway("the server is not available")), "screen") == "failed"
        assert await shop.read(newest_screening, 10, 100) is None
        assert (await shop.read(load_repository, 10, 100)).last_error == "screen: the server is not available"

    play(story)


def test_the_first_success_lets_everything_that_waits_for_github_try_again(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await do(shop, raising(Unavailable("502")))
        shop.clock.advance(HOUR)
        await do(shop, raising(Unavailable("502")))  # due again in minutes
        await do(shop, raising(Unavailable("502")), "sync_repository")
        limited = await shop.ask_for("reply", not_before=shop.clock.now() + HOUR)  # waits for something else
        assert await do(shop, answering(Done()), "sync_repository") == "done"
        assert await shop.read(ready_jobs, shop.clock.now(), ["post", "reply"], 9) == [1]
        assert (await shop.job(limited)).not_before > shop.clock.now()

    play(story)


def test_a_success_clears_the_error_of_its_own_kind(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await do(shop, raising(Forbidden("Resource not accessible by integration")))
        error = (await shop.read(load_repository, 10, 100)).last_error
        assert error.startswith("post: GitHub denied access")
        await do(shop, answering(Done()), "sync_repository")
        assert (await shop.read(load_repository, 10, 100)).last_error == error
        await do(shop, answering(Done()))
        assert (await shop.read(load_repository, 10, 100)).last_error == ""

    play(story)


def test_an_error_of_a_whole_installation_is_noted_and_cleared(play: Play) -> None:
    async def story(shop: Shop) -> None:
        async def listing(handler: Any) -> str:
            await shop.write(request_job, 10, 0, "sync_installation", shop.clock.now())
            return await settle(RunningJob(JobContext(await shop.claimed(), shop.parts), handler))

        await listing(raising(Forbidden("the `acme` organization has an IP allow list enabled")))
        assert "IP allow list" in (await shop.read(recall_installation, 10)).last_error
        await listing(answering(Done()))
        assert (await shop.read(recall_installation, 10)).last_error == ""

    play(story)


def test_a_screening_that_failed_for_good_is_stored_and_posted(play: Play) -> None:
    async def story(shop: Shop) -> None:
        assert await do(shop, raising(Forbidden("403")), "screen") == "failed"
        screening = await shop.read(newest_screening, 10, 100)
        assert screening.failure == "GitHub denied access: check the App's permissions"
        assert (await shop.claimed()).kind == "post"

    play(story)


def test_a_suspension_is_stored_and_waited_for(play: Play) -> None:
    async def story(shop: Shop) -> None:
        assert await do(shop, raising(Suspended("403"))) == "later"
        assert (await shop.read(load_installation, 10)).state == "suspended"
        job = await shop.job(1)
        assert (job.state, job.attempts, job.not_before) == ("open", 0, shop.clock.now() + HOUR)

    play(story)


def test_a_suspension_that_may_be_over_requests_a_sync(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await do(shop, raising(Suspended("403")))
        asking = await shop.claimed()
        assert (asking.kind, asking.repository_id) == ("sync_installation", 0)
        assert await settle(RunningJob(JobContext(asking, shop.parts), raising(Suspended("403")))) == "later"
        assert (await shop.job(asking.job_id)).not_before == shop.clock.now() + HOUR  # and not at once for ever

    play(story)


def test_a_single_not_found_requests_a_sync_and_deletes_nothing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        assert await do(shop, raising(NotFound("404"))) == "again"
        assert (await shop.claimed()).kind == "sync_repository"
        assert (await shop.job(1)).state == "open"
        assert await shop.read(load_repository, 10, 100) is not None

    play(story)


def test_a_cancelled_job_stops_within_a_heartbeat_and_writes_nothing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("screen")
        running = RunningJob(JobContext(await shop.claimed("screen"), shop.parts), for_ever)
        settling = asyncio.create_task(settle(running))
        async with shop.database.write() as connection:
            await cancel_jobs(connection, 10, reason="uninstalled")
        assert await asyncio.wait_for(settling, 5) == "lost"
        assert (await shop.job(1)).state == "cancelled"
        assert await shop.read(newest_screening, 10, 100) is None

    play(story)


def test_nothing_is_written_once_the_lease_is_lost(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("post")
        context = JobContext(await shop.claimed(), shop.parts)
        async with shop.database.write() as connection:
            await cancel_jobs(connection, 10, reason="uninstalled")
        with pytest.raises(LostLease):
            async with context.conclusion() as connection:
                await note_error(connection, 10, 100, "written")
        assert (await shop.read(load_repository, 10, 100)).last_error == ""

    play(story)


def test_a_heartbeat_keeps_the_lease_of_a_long_job(play: Play) -> None:
    async def handler(context: JobContext) -> Outcome:
        await asyncio.sleep(1.2)  # the lease is for half a second
        return Done()

    async def story(shop: Shop) -> None:
        assert await do(shop, handler) == "done"

    play(story)


def test_a_handler_that_times_out_is_stopped(play: Play) -> None:
    async def story(shop: Shop) -> None:
        shop.policy = replace(shop.policy, screening_s=0)
        assert await asyncio.wait_for(do(shop, for_ever, "screen"), 5) == "again"
        assert (await shop.job(1)).reason == "it timed out"

    play(story)


def test_a_stopping_worker_returns_its_job_to_the_queue(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.ask_for("screen")
        running = RunningJob(JobContext(await shop.claimed("screen"), shop.parts), for_ever)
        settling = asyncio.create_task(settle(running))
        await asyncio.sleep(0)
        running.stop(Stopping())
        assert await settling == "stopped"
        job = await shop.job(1)
        assert (job.state, job.attempts, job.not_before) == ("open", 0, shop.clock.now())

    play(story)


def test_a_wait_that_counts_is_an_attempt(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await do(shop, raising(NotYet(shop.clock.now() + HOUR, "no room", counts=True)))
        assert (await shop.job(1)).attempts == 1
        assert await shop.read(ready_jobs, shop.clock.now(), ["post"], 9) == []
        await shop.write(request_job, 10, 100, "post", shop.clock.now())
        assert await shop.read(ready_jobs, shop.clock.now(), ["post"], 9) == [1]

    play(story)
