"""A delivery becomes exactly one job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.handlers.commands.command import NO_ROLE, TOO_MANY_OF_USER
from bot.handlers.finetuning.result import NOTHING_TO_SHOW
from bot.handlers.installations.delivery import deliver
from bot.handlers.screening.post_schedule import NO_RESULT
from bot.records import Event, Fact, Job
from bot.store.deliveries import load_delivery
from bot.store.installations import save_installation
from bot.store.jobs import finish_job, recent_jobs
from bot.store.repositories import load_repository
from bot.store.screenings import save_screening
from tests.bot.conftest import ACME, Shop, Story

Play = Callable[[Story], None]
HEAD, OTHER = "a" * 40, "b" * 40


def push(head_sha: str = HEAD, **facts: Fact) -> Event:
    return Event("push", "", 10, 100, {"default_branch": True, "after": head_sha, **facts})


def test_ten_concurrent_copies_of_a_delivery_are_one_job(play: Play) -> None:
    async def story(shop: Shop) -> None:
        delivery_id = await shop.deliver("g1", Event("repository", "renamed", 10, 100))
        asked = await asyncio.gather(*(deliver(shop.parts, delivery_id) for _ in range(10)))
        assert sorted(asked) == [False] * 9 + [True]
        delivery = await shop.read(load_delivery, delivery_id)
        assert (delivery.state, delivery.job_id) == ("handled", 1)
        assert (await shop.claimed()).kind == "sync_repository"
        assert await shop.claim() is None

    play(story)


@pytest.mark.parametrize(
    ("event", "kind", "repository_id"),
    [
        (Event("installation", "created", 11), "sync_installation", 0),  # not stored yet
        (Event("push", "", 11, 200, {"default_branch": True, "after": HEAD}), "sync_installation", 0),
        (Event("push", "", 10, 200, {"default_branch": True, "after": HEAD}), "sync_installation", 0),
        (Event("repository", "transferred", 10, 200), "sync_repository", 200),
        (Event("installation", "deleted", 10), "remove_installation", 0),
        (push(deleted=True), "sync_repository", 100),
    ],
)
def test_a_delivery_of_an_unknown_repository_requests_a_sync(
    play: Play, event: Event, kind: str, repository_id: int
) -> None:
    async def story(shop: Shop) -> None:
        assert await deliver(shop.parts, await shop.deliver("g1", event))
        job = await shop.claimed()
        assert (job.kind, job.installation_id, job.repository_id) == (kind, event.installation_id, repository_id)

    play(story)


def test_who_waits_for_an_answer_gets_it_after_the_listing(play: Play) -> None:
    """A command, a button or a "re-run" may come before the repositories of a new installation are listed."""

    async def story(shop: Shop) -> None:
        said: dict[str, Fact] = {"command": "/screen", "comment_id": 1, "sender_id": 9, "issue_number": 1}
        events = [
            Event("issue_comment", "created", 11, 200, said),
            Event("check_run", "requested_action", 11, 200, CLICKS[0][1]),
            Event("check_run", "rerequested", 11, 200, {**CLICKS[2][1], "head_sha": HEAD}),
            Event("check_run", "rerequested", 11, 200, {**CLICKS[3][1], "head_sha": HEAD}),
            Event("issue_comment", "created", 10, 200, {**said, "comment_id": 2}),  # one that was just added
        ]
        for number, event in enumerate(events):
            assert await deliver(shop.parts, await shop.deliver(f"g{number}", event))
        claimed = [(job.kind, job.installation_id, job.repository_id) async for job in each_job(shop)]
        waiting = [("command", 11), ("command", 11), ("post", 11), ("result", 11), ("command", 10)]
        asked = [(kind, installation_id, 200) for kind, installation_id in waiting]
        assert sorted(claimed) == sorted([*asked, *(("sync_installation", number, 0) for number in (10, 11))])

    async def each_job(shop: Shop) -> AsyncIterator[Job]:
        while (job := await shop.claim()) is not None:
            yield job
            await shop.write(finish_job, job, "done", shop.clock.now())

    play(story)


@pytest.mark.parametrize(
    "event",
    [
        Event("ping"),
        Event("star", "created", 10, 100),
        Event("push", "", 10, 100, {"default_branch": False}),
        Event("repository", "edited", 10, 100),
        Event("installation", "created"),
    ],
)
def test_an_unhandled_event_is_ignored(play: Play, event: Event) -> None:
    async def story(shop: Shop) -> None:
        delivery_id = await shop.deliver("g1", event)
        assert not await deliver(shop.parts, delivery_id)
        assert (await shop.read(load_delivery, delivery_id)).state == "ignored"
        assert not await deliver(shop.parts, 99)

    play(story)


def test_each_push_of_a_burst_waits_for_quiet_but_not_for_ever(play: Play) -> None:
    async def story(shop: Shop) -> None:
        begun_at = shop.clock.now()
        due = []
        for second in range(0, 600, 30):
            shop.clock.set(begun_at + timedelta(seconds=second))
            await deliver(shop.parts, await shop.deliver(f"g{second}", push(f"{second:040x}", forced=second == 30)))
            due.append((await shop.job(1)).not_before - begun_at)
        assert due == [timedelta(seconds=min(second + 60, 600)) for second in range(0, 600, 30)]
        memory = await shop.read(load_repository, 10, 100)
        assert (memory.pushed_head, memory.history_changed) == (f"{570:040x}", True)

    play(story)


def test_a_push_to_what_was_measured_last_rewrites_nothing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(save_screening, 10, 100, HEAD, shop.clock.now(), {}, {}, "", "recipe", "")
        for guid, head, changed in (("g1", HEAD, False), ("g2", OTHER, True)):
            await deliver(shop.parts, await shop.deliver(guid, push(head, forced=True)))
            memory = await shop.read(load_repository, 10, 100)
            assert (memory.pushed_head, memory.history_changed) == (head, changed)

    play(story)


def test_a_command_replayed_during_its_execution_is_not_repeated(play: Play) -> None:
    async def story(shop: Shop) -> None:
        said: dict[str, Fact] = {"command": "/screen", "comment_id": 1, "sender_id": 9, "issue_number": 1}
        event = Event("issue_comment", "created", 10, 100, said)
        await deliver(shop.parts, await shop.deliver("g1", event))
        running = await shop.claimed()
        assert await deliver(shop.parts, await shop.deliver("g2", event))
        await shop.write(finish_job, running, "done", shop.clock.now())
        assert await shop.claim() is None

    play(story)


CLICKS: list[tuple[str, dict[str, Fact]]] = [
    ("requested_action", {"button": "finetune", "sender_id": 9, "check_run_id": 5}),
    ("requested_action", {"button": "rescreen", "sender_id": 9, "check_run_id": 5}),
    ("rerequested", {"check_run_name": "assay/screen"}),
    ("rerequested", {"check_run_name": "assay/finetune", "external_id": "assay/finetune/1"}),
]


def clicked(action: str, facts: dict[str, Fact], body: str = "1" * 64, name: str = "check_run") -> Event:
    return Event(name, action, 10, 100, {"head_sha": HEAD, "click": body, **facts})


@pytest.mark.parametrize("state", ["open", "running", "done"])
def test_a_click_that_is_replayed_comes_to_nothing(play: Play, state: str) -> None:
    """The same body under another id, whenever it comes."""

    async def story(shop: Shop) -> None:
        events = [clicked(*click, body=f"{number:064x}") for number, click in enumerate(CLICKS)]
        for number, event in enumerate([*events, clicked("rerequested", {}, name="check_suite")]):
            assert await deliver(shop.parts, await shop.deliver(f"a{number}", event))
            if state != "open":
                job = await shop.claimed()
                if state == "done":
                    await shop.write(finish_job, job, "done", shop.clock.now(), "start")
            replayed = await shop.deliver(f"b{number}", event)
            assert not await deliver(shop.parts, replayed)
            assert (await shop.read(load_delivery, replayed)).state == "ignored"
            if state == "running":
                await shop.write(finish_job, job, "done", shop.clock.now())
            if state == "open":
                await shop.write(finish_job, await shop.claimed(), "done", shop.clock.now())
            assert await shop.claim() is None

    play(story)


def test_a_second_click_counts_where_the_first_came_to_nothing_or_to_a_failure(play: Play) -> None:
    reasons = [NO_ROLE, TOO_MANY_OF_USER, NO_RESULT, NOTHING_TO_SHOW]

    async def story(shop: Shop) -> None:
        ends = [("failed", "GitHub cannot be reached"), *(("done", reason) for reason in reasons)]
        for number, (end, reason) in enumerate(ends):
            event = clicked("requested_action", CLICKS[0][1], body=f"{number:064x}")
            await deliver(shop.parts, await shop.deliver(f"a{number}", event))
            await shop.write(finish_job, await shop.claimed(), end, shop.clock.now(), reason)
            assert await deliver(shop.parts, await shop.deliver(f"b{number}", event)), reason
            await shop.write(finish_job, await shop.claimed(), "done", shop.clock.now(), "start")
            assert not await deliver(shop.parts, await shop.deliver(f"c{number}", event)), reason

    play(story)


def test_another_click_counts_whatever_came_before(play: Play) -> None:
    """The suite has changed since, so the body has: `latest_check_runs_count`, `updated_at`."""

    async def story(shop: Shop) -> None:
        for number in range(3):
            event = clicked("requested_action", CLICKS[0][1], body=f"{number:064x}")
            assert await deliver(shop.parts, await shop.deliver(f"a{number}", event))
            await shop.write(finish_job, await shop.claimed(), "done", shop.clock.now(), "start")

    play(story)


def test_two_re_runs_of_two_commits_are_two_jobs(play: Play) -> None:
    async def story(shop: Shop) -> None:
        for number, head in enumerate((HEAD, OTHER)):
            event = Event("check_run", "rerequested", 10, 100, {"check_run_name": "assay/screen", "head_sha": head})
            await deliver(shop.parts, await shop.deliver(f"g{number}", event))
        await deliver(shop.parts, await shop.deliver("g9", push()))
        jobs = await shop.read(recent_jobs, 10, 100, "post", shop.clock.now())
        assert [job.arguments.get("head_sha") for job in jobs] == [HEAD, OTHER, None]

    play(story)


def test_another_default_branch_is_measured_however_recent_the_verdict(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await deliver(
            shop.parts,
            await shop.deliver("g1", Event("repository", "edited", 10, 100, {"default_branch_changed": True})),
        )
        job = await shop.claimed()
        assert (job.kind, dict(job.arguments)) == ("sync_repository", {"remeasure": True})

    play(story)


def test_two_commands_are_two_jobs(play: Play) -> None:
    async def story(shop: Shop) -> None:
        for comment_id in (1, 2, 2):
            said = {"command": "/screen", "comment_id": comment_id, "sender_id": 9, "issue_number": 1}
            guid = f"g{comment_id}{len(shop.announced.jobs)}"
            await deliver(shop.parts, await shop.deliver(guid, Event("issue_comment", "created", 10, 100, said)))
            shop.announced.jobs.append(0)
        jobs = await shop.read(recent_jobs, 10, 100, "command", shop.clock.now())
        assert sorted(job.arguments["comment_id"] for job in jobs) == [1, 2]

    play(story)


def test_an_account_that_is_not_served_causes_no_work(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(save_installation, replace(ACME, state="refused"), shop.clock.now())
        assert not await deliver(shop.parts, await shop.deliver("g1", push()))
        assert await deliver(shop.parts, await shop.deliver("g2", Event("installation", "unsuspend", 10)))
        assert (await shop.claimed()).kind == "sync_installation"

    play(story)
