"""From a comment or a button to its effects: the real handler, store and receiver, and a simulated GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.commands.decide import Start
from bot.handlers.commands.command import MAX_PER_REPOSITORY, MAX_PER_USER
from bot.handlers.commands.execute import Requester, execute
from bot.jobs.context import Done, JobContext, Outcome
from bot.records import GpuState, Run
from bot.store.budgets import save_gpu_state
from bot.store.installations import load_installation, save_installation
from bot.store.jobs import cancel_jobs, request_job
from bot.store.repositories import delete_repository, save_repository
from bot.store.runs import claim_run, queue_run
from bot.store.tables import runs
from tests.bot.commands.facts import facts
from tests.builders.command_harness import LARGE, SKIP, SMALL, USUAL, Harness, open_harness
from tests.simulator.clocks import START
from tests.simulator.faults import before, status
from tests.simulator.state import Comment


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A measured repository worth trying, with a budget; ann may start runs, bob may push, eve may read."""
    with open_harness(tmp_path) as opened:
        opened.world.shop.roles.update(ann="maintain", ada="maintain", bob="write", eve="read")
        opened.gives_budget()
        opened.is_measured()
        yield opened


def reactions(comment: Comment) -> list[str]:
    return [reaction["content"] for reaction in comment.reactions]


def answer(harness: Harness) -> str:
    """What our newest comment says."""
    harness.answers()
    return harness.our_comments()[-1].body


def starts(harness: Harness) -> Run:
    harness.says("ann", "/finetune")
    return harness.runs()[0]


def is_queued(harness: Harness, run: Run, minutes: float = 80.0) -> None:
    values: dict[str, Any] = {"pair_set_id": "e" * 64, "minutes": minutes, "month": "2026-03"}
    assert harness.write(lambda c: queue_run(c, run, now=harness.world.clock.now(), **values))


def is_running(harness: Harness, run: Run) -> Run:
    is_queued(harness, run)
    now = harness.world.clock.now()
    claimed = harness.write(lambda c: claim_run(c, "gpu-1", now, now, lease_s=1e6))
    assert isinstance(claimed, Run)
    return claimed


def test_a_maintainers_comment_opens_one_run_with_the_head_and_the_prediction_pinned(harness: Harness) -> None:
    screening_id = harness.is_measured(config_hash="c0ffee")
    comment = harness.says("ann", "/finetune\nthank you")
    (run,) = harness.runs()
    assert (run.state, run.purpose, run.head_sha, run.screening_id) == (
        "waiting",
        "judge",
        harness.world.head,
        screening_id,
    )
    assert (run.base_model, run.recipe, run.config_hash) == (
        USUAL,
        {"epochs": 1, "max_minutes": 360},
        "c0ffee",
    )
    assert (run.asked_by, run.comment_id) == (comment.user.account_id, comment.comment_id)
    assert (run.forced, run.audit, run.judged_run_id) == (False, False, None)
    assert reactions(comment) == ["eyes", "rocket"]
    (prepare,) = harness.jobs("prepare")
    assert prepare.arguments == {"run_id": run.run_id}
    assert answer(harness).startswith("**Preparing.**")


def test_eyes_come_before_the_decision(harness: Harness) -> None:
    harness.world.github.fault("GET .*/commits/.*", status(500), times=1)
    harness.says("ann", "/finetune")
    done = [
        seen.path for seen in harness.world.github.requests if "reactions" in seen.path or "commits/heads" in seen.path
    ]
    assert "reactions" in done[0]


def test_two_concurrent_maintainers_get_one_run_and_a_reply_each(harness: Harness) -> None:
    harness.world.shop.comment("ann", "/finetune")
    harness.world.shop.comment("ada", "/finetune", issue=2)
    deliveries = harness.world.github.deliveries[-2:]
    assert all(map(harness.asks, deliveries))
    harness.does("command")
    harness.does("command")
    (run,) = harness.runs()
    assert len(harness.jobs("prepare")) == 1
    harness.answers()
    first, second = harness.our_comments()
    assert (first.issue_number, second.issue_number) == (1, 2)
    assert "Another command had already requested this run" in second.body
    assert "Another command" not in first.body
    assert run.head_sha[:7] in first.body


def test_a_command_that_joins_a_concurrent_run_requests_no_second_preparation(harness: Harness) -> None:
    starts(harness)
    harness.does("prepare", _is_done)

    async def decided_before(context: JobContext) -> Outcome:
        known = facts(head_sha=harness.world.head)
        return await execute(context, Requester(1, comment_id=2, issue_number=2), Start(USUAL, forced=False), known)

    harness.world.shop.comment("ada", "/finetune", issue=2)
    assert harness.asks(harness.world.github.deliveries[-1])
    harness.does("command", decided_before)
    assert (len(harness.runs()), [job.state for job in harness.jobs("prepare")]) == (1, ["done"])


async def _is_done(context: JobContext) -> Outcome:
    return Done()


def test_the_same_comment_delivered_twice_is_one_command(harness: Harness) -> None:
    harness.says("ann", "/finetune cancel")
    delivery = harness.world.github.deliveries[-1]
    requests = len(harness.world.github.requests)
    harness.hears([delivery, delivery])
    assert len(harness.world.github.requests) == requests
    harness.answers()
    assert len(harness.our_comments()) == 1


@pytest.mark.parametrize("fails_at", [1, 2], ids=["eyes", "rocket"])
def test_an_interrupted_command_is_executed_once(harness: Harness, fails_at: int) -> None:
    met: list[int] = []
    fault = harness.world.github.fault("POST .*/reactions", before(lambda: met.append(1)), times=fails_at - 1)
    harness.world.github.fault("POST .*/reactions", status(500))
    comment = harness.says("ann", "/finetune")
    assert (harness.runs(), harness.outcomes, fault.met) == ([], ["again"], fails_at - 1)
    harness.world.clock.advance(60)
    harness.does("command")
    assert (len(harness.runs()), len(harness.jobs("prepare")), reactions(comment)) == (1, 1, ["eyes", "rocket"])


UNHEARD = {
    "quoted": "> /finetune",
    "in a code block": "```\n/finetune\n```",
    "in code": "`/finetune`",
    "in an HTML comment": "<!-- /finetune -->",
    "on the second line": "hello\n/finetune",
    "indented as code": "    /finetune",
}


@pytest.mark.parametrize("body", UNHEARD.values(), ids=UNHEARD)
def test_a_comment_that_only_mentions_a_command_is_none(harness: Harness, body: str) -> None:
    comment = harness.says("ann", body)
    assert (harness.runs(), harness.jobs("command"), reactions(comment)) == ([], [], [])


def test_an_edited_comment_is_no_command(harness: Harness) -> None:
    comment = harness.says("ann", "hello")
    harness.hears(comment.edit("/finetune"))
    assert (harness.runs(), reactions(comment)) == ([], [])


MEANWHILE = {"never mind": [], "/finetune --force": ["confused"], "/screen": ["confused"], "    /finetune": []}


@pytest.mark.parametrize(("body", "reacted"), MEANWHILE.items())
def test_a_comment_edited_meanwhile_is_not_executed(harness: Harness, body: str, reacted: list[str]) -> None:
    comment = harness.world.shop.comment("ann", "/finetune")
    assert harness.asks(harness.world.github.deliveries[-1])
    comment.edit(body)
    harness.does("command")
    assert (harness.runs(), reactions(comment)) == ([], reacted)


TYPED = (" /finetune", "\r\n\r\n/finetune", "\t/finetune", "\ufeff\u200b/Finetune.", "/finetune –force")


def test_a_command_as_people_type_it_starts_a_run(harness: Harness) -> None:
    for body in TYPED:
        harness.world.clock.advance(timedelta(hours=1, minutes=1))
        assert (body, reactions(harness.says("ann", body))) == (body, ["eyes", "rocket"])
    assert len(harness.runs()) == 1  # the others join it


def test_a_comment_deleted_meanwhile_is_not_executed(harness: Harness) -> None:
    comment = harness.world.shop.comment("ann", "/finetune")
    assert harness.asks(harness.world.github.deliveries[-1])
    comment.delete()
    done = harness.does("command")
    assert done is not None
    assert (done.reason, harness.runs()) == ("the comment is gone", [])


def test_a_bot_cannot_give_commands(harness: Harness) -> None:
    harness.world.github.account("helper[bot]", "Bot")
    harness.world.shop.roles["helper[bot]"] = "admin"
    comment = harness.says("helper[bot]", "/finetune")
    assert (harness.runs(), harness.jobs("command"), reactions(comment)) == ([], [], [])


def test_the_author_of_a_pull_request_from_a_fork_cannot_give_commands(harness: Harness) -> None:
    harness.world.shop.private = False
    comment = harness.says("stranger", "/finetune", issue=3, on_pull_request=True)
    harness.answers()
    assert (harness.runs(), harness.our_comments(), reactions(comment)) == ([], [], ["confused"])


def test_more_than_five_commands_of_a_user_cost_github_nothing(harness: Harness) -> None:
    for _ in range(MAX_PER_USER):
        harness.says("ann", "/assay help")
    requests = len(harness.world.github.requests)
    assert reactions(harness.says("ann", "/finetune")) == []
    assert len(harness.world.github.requests) == requests
    assert reactions(harness.says("ada", "/assay help")) == ["eyes", "rocket"]
    harness.world.clock.advance(timedelta(hours=1, seconds=1))
    assert reactions(harness.says("ann", "/assay help")) == ["eyes", "rocket"]


def test_more_than_twenty_commands_in_a_repository_cost_github_nothing(harness: Harness) -> None:
    for number in range(MAX_PER_REPOSITORY):
        harness.says(f"reader-{number}", "/assay help")
    requests = len(harness.world.github.requests)
    assert reactions(harness.says("ann", "/finetune")) == []
    assert len(harness.world.github.requests) == requests


def test_only_a_listed_base_model_is_accepted(harness: Harness) -> None:
    comment = harness.says("ann", "/finetune --base-model evil/model-with-a-name")
    assert (harness.runs(), reactions(comment)) == ([], ["eyes", "confused"])
    said = answer(harness)
    assert "evil" not in said
    assert all(f"`{name}`" in said.partition("Allowed: ")[2] for name in (SMALL, USUAL, LARGE))
    harness.says("ann", f"/finetune --base-model {SMALL}")
    assert [run.base_model for run in harness.runs()] == [SMALL]


def test_on_a_skip_the_command_explains_and_force_starts_a_marked_run(harness: Harness) -> None:
    harness.is_measured(SKIP)
    assert reactions(harness.says("ann", "/finetune")) == ["eyes", "confused"]
    said = answer(harness)
    assert "Not started: the verdict is SKIP" in said
    assert "/finetune --force" in said
    assert harness.runs() == []
    assert reactions(harness.says("ann", "/finetune --force")) == ["eyes", "rocket"]
    assert [run.forced for run in harness.runs()] == [True]
    assert "**Forced**: requested although the verdict was SKIP" in answer(harness)


def test_force_on_a_run_verdict_does_not_mark_the_run(harness: Harness) -> None:
    harness.says("ann", "/finetune --force")
    assert [run.forced for run in harness.runs()] == [False]


def test_a_new_head_gets_a_run_beside_the_open_one(harness: Harness) -> None:
    earlier = starts(harness)
    harness.write(lambda c: _moves(c, earlier))
    harness.says("ann", "/finetune", issue=2)
    assert len(harness.runs()) == 2
    harness.answers()
    assert f"An earlier run, at `{'0' * 7}`, is still open." in harness.our_comments()[-1].body


async def _moves(connection: Any, run: Run) -> None:
    """As if it had been asked for at another commit."""
    mine = runs.c.installation_id == run.installation_id, runs.c.run_id == run.run_id
    await connection.execute(update(runs).where(*mine).values(head_sha="0" * 40, open_key="another"))


def test_a_run_at_the_same_head_is_joined_whatever_its_model(harness: Harness) -> None:
    starts(harness)
    harness.says("ada", f"/finetune --base-model {LARGE}")
    assert [run.base_model for run in harness.runs()] == [USUAL]
    assert f"base model `{USUAL}`" in answer(harness)


def test_cancel_ends_a_waiting_run_and_updates_the_first_reply(harness: Harness) -> None:
    starts(harness)
    harness.answers()
    harness.says("ada", "/finetune cancel")
    (run,) = harness.runs()
    assert (run.state, run.ending) == ("ended", "cancelled")
    assert [job.arguments for job in harness.jobs("result")] == [{"run_id": run.run_id}]
    harness.answers()
    of_run, of_cancel = harness.our_comments()
    assert of_run.body.startswith("**Cancelled without a result.**")
    assert "was cancelled." in of_cancel.body


def test_cancel_requests_the_end_of_a_running_run(harness: Harness) -> None:
    is_running(harness, starts(harness))
    harness.says("ann", "/finetune cancel")
    (run,) = harness.runs()
    assert (run.state, run.cancel_asked) == ("running", True)
    harness.answers()
    of_run, of_cancel = harness.our_comments()
    assert of_run.body.startswith("**Being cancelled.**")
    assert "stops as soon as its GPU worker receives the request" in of_cancel.body


def test_cancel_without_a_run_says_so(harness: Harness) -> None:
    assert reactions(harness.says("ann", "/finetune cancel")) == ["eyes", "rocket"]
    assert "no run is open" in answer(harness)


def test_status_shows_the_state_and_its_time(harness: Harness) -> None:
    is_queued(harness, starts(harness))
    assert reactions(harness.says("bob", "/finetune status")) == ["eyes", "rocket"]
    said = answer(harness)
    assert f"**Status of `acme/shop`** on {START:%Y-%m-%d at %H:%M} UTC:" in said
    assert "Fine-tuning at" in said
    assert "queued since 2026-03-02 09:00 UTC" in said
    assert "Left of this month’s budget: 420 of 500 GPU minutes." in said


def test_an_unknown_word_gets_the_nearest_command_and_is_not_quoted_back(harness: Harness) -> None:
    assert reactions(harness.says("ann", "/finetune cancle my hunter2")) == ["eyes", "confused"]
    said = answer(harness)
    assert "The closest one is `/finetune cancel`" in said
    assert "cancle" not in said
    assert "hunter2" not in said
    (job,) = harness.jobs("command")
    assert job.arguments["command"] == "/finetune"


def test_screen_measures_again_without_a_reply(harness: Harness) -> None:
    assert reactions(harness.says("ann", "/screen")) == ["eyes", "rocket"]
    (job,) = harness.jobs("screen")
    assert job.arguments == {"force": True}
    harness.answers()
    assert harness.our_comments() == []


def test_a_pause_of_the_gpus_is_shown_and_the_run_still_queued(harness: Harness) -> None:
    harness.write(lambda c: save_gpu_state(c, GpuState("moving house <b>")))
    is_queued(harness, starts(harness))
    said = answer(harness)
    assert "The operator has paused the GPUs" in said
    assert "<b>" not in said.replace("`<b>`", "")


def test_a_button_starts_a_run_and_gets_a_check_run_in_reply(harness: Harness) -> None:
    harness.presses("ann", "finetune", harness.check_run())
    (run,) = harness.runs()
    assert (run.comment_id, run.asked_by) == (None, harness.world.github.account("ann").account_id)
    assert [job.arguments for job in harness.jobs("result")] == [{"queued": run.run_id}]
    harness.answers()
    assert harness.our_comments() == []


def test_a_refused_button_gets_a_check_run_in_reply(harness: Harness) -> None:
    harness.is_measured(SKIP)
    harness.presses("ann", "finetune", harness.check_run())
    assert harness.runs() == []
    assert [job.arguments for job in harness.jobs("result")] == [{"refused": "skip", "head_sha": harness.world.head}]


@pytest.mark.parametrize("button", ["finetune", "rescreen"])
def test_a_button_on_an_unknown_check_run_does_nothing(harness: Harness, button: str) -> None:
    harness.presses("ann", button, harness.check_run(ours=False))
    assert (harness.runs(), harness.jobs("screen"), harness.jobs("result")) == ([], [], [])
    harness.presses("ann", button, harness.check_run("lint/style"))
    assert (harness.runs(), harness.jobs("screen"), harness.jobs("result")) == ([], [], [])


def test_exhausted_write_limits_cost_the_reactions_and_not_the_command(harness: Harness) -> None:
    harness.fills_writes()
    comment = harness.says("ann", "/finetune")
    assert (reactions(comment), len(harness.runs())) == ([], 1)
    harness.answers()
    assert harness.our_comments() == []
    harness.world.clock.advance(timedelta(hours=1, seconds=11))
    harness.answers()
    assert len(harness.our_comments()) == 1


def test_a_pull_request_that_refuses_our_comment_still_gets_its_run(harness: Harness) -> None:
    harness.world.github.strict_pull_requests = True
    harness.says("ann", "/finetune", issue=3, on_pull_request=True)
    harness.answers()
    assert (len(harness.runs()), harness.our_comments()) == (1, [])
    assert set(harness.outcomes) == {"done"}


def test_an_installation_that_grants_only_reading_issues_gets_no_reply(tmp_path: Path) -> None:
    with open_harness(tmp_path) as harness:
        harness.world.shop.roles["ann"] = "maintain"
        harness.gives_budget()
        harness.is_measured()
        harness.write(lambda c: _permits(c, harness, issues="read"))
        comment = harness.says("ann", "/finetune")
        harness.answers()
        assert (len(harness.runs()), reactions(comment), harness.our_comments()) == (1, [], [])
        assert not [seen for seen in harness.world.github.requests if seen.method == "POST" and "/issues/" in seen.path]


async def _permits(connection: Any, harness: Harness, **changes: str) -> None:
    known = await load_installation(connection, harness.ids[0])
    assert known is not None
    changed = replace(known, permissions={**known.permissions, **changes})
    await save_installation(connection, changed, harness.world.clock.now())


def test_a_command_waits_for_the_first_listing(harness: Harness) -> None:
    listed, ids = harness.repository, (harness.ids[0], 0)
    harness.write(lambda c: delete_repository(c, *harness.ids))
    harness.write(lambda c: request_job(c, *ids, "sync_installation", harness.world.clock.now()))
    comment = harness.says("ann", "/screen")
    assert (harness.outcomes, reactions(comment)) == (["later"], [])
    harness.write(lambda c: save_repository(c, listed))
    harness.write(lambda c: cancel_jobs(c, *ids, reason="it is listed"))
    harness.world.clock.advance(timedelta(minutes=1))
    harness.does("command")
    assert (harness.outcomes[-1], reactions(comment)) == ("done", ["eyes", "rocket"])


def test_a_command_in_a_repository_that_is_not_listed_is_dropped_afterwards(harness: Harness) -> None:
    harness.write(lambda c: delete_repository(c, *harness.ids))
    comment = harness.says("ann", "/screen")
    assert (harness.jobs("command")[0].reason, reactions(comment)) == ("not served", [])


def test_an_archived_repository_gets_no_reply(harness: Harness) -> None:
    harness.world.shop.archived = True
    harness.write(lambda c: save_repository(c, harness.repository))
    requests = len(harness.world.github.requests)
    harness.says("ann", "/finetune")
    harness.answers()
    assert (harness.runs(), len(harness.world.github.requests)) == ([], requests)
