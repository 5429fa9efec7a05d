"""Missing effects are found in the rows themselves, whatever became of the jobs, and tried once a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.handlers.catch_up import PERIOD, catch_up, resume
from bot.jobs.arguments import PostJob
from bot.records import Event
from bot.store.check_runs import create_check_run, mark_posted
from bot.store.deliveries import finish_delivery, load_delivery
from bot.store.installations import note_listed, set_installation_state
from bot.store.jobs import finish_job
from bot.store.reply_comments import create_reply, give_up_reply, note_reply_posted
from bot.store.repositories import note_error, note_push, save_repository
from bot.store.runs import RunRequest, end_run, open_run, settle_run
from bot.store.screenings import save_screening
from bot.store.tables import jobs
from tests.bot.conftest import SHOP, Shop, Story

Play = Callable[[Story], None]
HEAD = "a" * 40
DAY = timedelta(days=1)


async def wanted(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    """Look for missing effects, and take the jobs that were requested away, as if they had been lost."""
    shop.clock.advance(PERIOD)
    await catch_up(shop.parts)
    rows = await shop.read(lambda connection: connection.execute(jobs.select().where(jobs.c.state == "open")))
    found = sorted((row.kind, dict(row.arguments)) for row in rows)
    await shop.write(lambda connection: connection.execute(jobs.delete().where(jobs.c.state == "open")))
    return found


async def settled(shop: Shop) -> None:
    """The shop is listed, measured, and its verdict posted: nothing is missing."""
    now = shop.clock.now()
    screening_id = await shop.write(save_screening, 10, 100, HEAD, now, {}, {}, "", "recipe", "")
    row = await shop.write(create_check_run, 10, 100, "assay/screen", HEAD, screening_id, "success", now)
    await shop.write(mark_posted, 10, row.row_id, 1, now)
    await shop.write(note_listed, 10, now)


def test_nothing_is_requested_where_nothing_is_missing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        assert await wanted(shop) == []

    play(story)


def test_an_installation_that_was_not_listed_for_a_day_is_listed(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        shop.clock.advance(DAY)
        assert await wanted(shop) == [("sync_installation", {})]
        await shop.write(set_installation_state, 10, "suspended")
        assert await wanted(shop) == []

    play(story)


def test_a_head_that_nobody_answers_and_a_verdict_that_nobody_posted_are_found(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        await shop.write(note_push, 10, 100, "b" * 40, False, shop.clock.now())
        assert await wanted(shop) == [("post", {})]
        await shop.write(save_screening, 10, 100, HEAD, shop.clock.now(), {}, {}, "it failed", "recipe", "")
        assert await wanted(shop) == [("post", {})]

    play(story)


def test_a_repository_that_was_never_measured_is_found_unless_it_is_archived(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(note_listed, 10, shop.clock.now())
        assert await wanted(shop) == [("post", {})]
        await shop.write(save_repository, replace(SHOP, archived=True))
        assert await wanted(shop) == []

    play(story)


def test_what_was_tried_is_tried_again_a_day_later(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        await shop.write(note_push, 10, 100, "b" * 40, False, shop.clock.now())
        await shop.ask_for("post")
        assert [kind for kind, _ in await wanted(shop)] == ["post"], "the open job itself, which is lost now"
        await shop.ask_for("post")
        job = await shop.claimed()
        await shop.write(finish_job, job, "failed", shop.clock.now(), "denied")
        assert await wanted(shop) == []
        await shop.write(note_listed, 10, shop.clock.now() + DAY)
        shop.clock.advance(DAY)
        assert await wanted(shop) == [("post", {})]

    play(story)


def test_a_run_that_was_not_reported_and_a_comment_that_is_behind_are_found(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        request = RunRequest(purpose="judge", head_sha=HEAD, base_model="m", recipe={}, label_recipe_id="l")
        run, _ = await shop.write(open_run, 10, 100, request, shop.clock.now())
        reply = await shop.write(lambda c: create_reply(c, 10, 100, 5, 1, shop.clock.now(), run_id=run.run_id))
        await shop.write(note_reply_posted, 10, reply.reply_id, 77, "d" * 64, shop.clock.now())
        assert await wanted(shop) == []
        await shop.write(end_run, run, "crashed", "why", shop.clock.now())
        both = [("reply", {"run_id": run.run_id}), ("result", {"run_id": run.run_id})]
        assert await wanted(shop) == both
        await shop.write(settle_run, run)
        assert await wanted(shop) == both, "applied, but no check run shows it"
        shown = await shop.write(
            lambda c: create_check_run(
                c, 10, 100, "assay/finetune", HEAD, 0, "neutral", shop.clock.now(), run_id=run.run_id
            )
        )
        await shop.write(mark_posted, 10, shown.row_id, 9, shop.clock.now())
        assert await wanted(shop) == both[:1]
        await shop.write(note_reply_posted, 10, reply.reply_id, 77, "e" * 64, shop.clock.now())
        assert await wanted(shop) == []
        lost = await shop.write(lambda c: create_reply(c, 10, 100, 6, 1, shop.clock.now(), text="no"))
        assert await wanted(shop) == [("reply", {"reply_id": lost.reply_id})]
        await shop.write(give_up_reply, 10, lost.reply_id)
        assert await wanted(shop) == []

    play(story)


def test_everything_that_was_given_up_is_resumed(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await settled(shop)
        await shop.write(note_error, 10, 100, "post: denied")
        delivery_id = await shop.deliver("g1", Event("issue_comment", "created", 10, 100))
        await shop.ask_for("command")
        failed = await shop.claimed()
        await shop.write(finish_delivery, delivery_id, "handled", failed.job_id)
        await shop.write(finish_job, failed, "failed", shop.clock.now(), "GitHub cannot be reached")
        assert await shop.write(resume, shop.clock.now()) == 2
        assert (await shop.read(load_delivery, delivery_id)).state == "received"
        job = await shop.claimed()
        assert (job.kind, job.arguments) == ("post", PostJob(look=True).dump())

    play(story)
