"""From a comment or a button to what comes of it: the real handler, store and ingress, a simulated GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.commands.decide import Start
from bot.handlers.commands.command import MOST_OF_A_REPOSITORY, MOST_OF_A_USER
from bot.handlers.commands.execute import Asker, carry_out
from bot.jobs.context import Done, Outcome, Work
from bot.records import GpuState, Run
from bot.store.budgets import save_gpu_state
from bot.store.installations import load_installation, save_installation
from bot.store.repositories import save_repository
from bot.store.runs import claim_run, queue_run
from bot.store.tables import runs
from tests.bot.commands.facts import facts
from tests.builders.command_desk import LARGE, SKIP, SMALL, USUAL, Desk, open_desk
from tests.simulator.clocks import START
from tests.simulator.faults import before, status
from tests.simulator.state import Comment


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A measured repository worth trying, with a budget; ann may start runs, bob may push, eve may read."""
    with open_desk(tmp_path) as opened:
        opened.world.shop.roles.update(ann="maintain", ada="maintain", bob="write", eve="read")
        opened.gives_budget()
        opened.is_measured()
        yield opened


def reactions(comment: Comment) -> list[str]:
    return [reaction["content"] for reaction in comment.reactions]


def answer(desk: Desk) -> str:
    """What our newest comment says."""
    desk.answers()
    return desk.our_comments()[-1].body


def starts(desk: Desk) -> Run:
    desk.says("ann", "/finetune")
    return desk.runs()[0]


def is_queued(desk: Desk, run: Run, minutes: float = 80.0) -> None:
    values: dict[str, Any] = {"pair_set_id": "e" * 64, "minutes": minutes, "month": "2026-03"}
    assert desk.write(lambda c: queue_run(c, run, now=desk.world.clock.now(), **values))


def is_running(desk: Desk, run: Run) -> Run:
    is_queued(desk, run)
    now = desk.world.clock.now()
    claimed = desk.write(lambda c: claim_run(c, "gpu-1", now, now, lease_s=1e6))
    assert isinstance(claimed, Run)
    return claimed


def test_a_maintainers_comment_opens_one_run_with_the_head_and_the_prediction_pinned(desk: Desk) -> None:
    screening_id = desk.is_measured(config_hash="c0ffee")
    comment = desk.says("ann", "/finetune\nthank you")
    (run,) = desk.runs()
    assert (run.state, run.purpose, run.head_sha, run.screening_id) == (
        "waiting",
        "judge",
        desk.world.head,
        screening_id,
    )
    assert (run.base_model, run.recipe, run.config_hash) == (
        USUAL,
        {"epochs": 1, "max_minutes": 360},
        "c0ffee",
    )
    assert (run.asked_by, run.comment_id) == (comment.user.account_id, comment.comment_id)
    assert (run.forced, run.audit, run.judged_run_id) == (False, False, 0)
    assert reactions(comment) == ["eyes", "rocket"]
    (prepare,) = desk.jobs("prepare")
    assert prepare.arguments == {"run_id": run.run_id}
    assert answer(desk).startswith("**Preparing.**")


def test_eyes_come_before_the_decision(desk: Desk) -> None:
    desk.world.github.fault("GET .*/commits/.*", status(500), times=1)
    desk.says("ann", "/finetune")
    done = [
        seen.path for seen in desk.world.github.requests if "reactions" in seen.path or "commits/heads" in seen.path
    ]
    assert "reactions" in done[0]


def test_two_maintainers_at_the_same_second_get_one_run_and_an_answer_each(desk: Desk) -> None:
    desk.world.shop.comment("ann", "/finetune")
    desk.world.shop.comment("ada", "/finetune", issue=2)
    deliveries = desk.world.github.deliveries[-2:]
    assert all(map(desk.asks, deliveries))
    desk.does("command")
    desk.does("command")
    (run,) = desk.runs()
    assert len(desk.jobs("prepare")) == 1
    desk.answers()
    first, second = desk.our_comments()
    assert (first.issue_number, second.issue_number) == (1, 2)
    assert "Another command had asked for it first" in second.body
    assert "Another command" not in first.body
    assert run.head_sha[:7] in first.body


def test_who_finds_the_run_opened_meanwhile_asks_for_no_second_preparation(desk: Desk) -> None:
    starts(desk)
    desk.does("prepare", _is_done)

    async def decided_before(work: Work) -> Outcome:
        known = facts(head_sha=desk.world.head)
        return await carry_out(work, Asker(1, comment_id=2, issue_number=2), Start(USUAL, forced=False), known)

    desk.world.shop.comment("ada", "/finetune", issue=2)
    assert desk.asks(desk.world.github.deliveries[-1])
    desk.does("command", decided_before)
    assert (len(desk.runs()), [job.state for job in desk.jobs("prepare")]) == (1, ["done"])


async def _is_done(work: Work) -> Outcome:
    return Done()


def test_the_same_comment_delivered_twice_is_one_command(desk: Desk) -> None:
    desk.says("ann", "/finetune cancel")
    delivery = desk.world.github.deliveries[-1]
    requests = len(desk.world.github.requests)
    desk.hears([delivery, delivery])
    assert len(desk.world.github.requests) == requests
    desk.answers()
    assert len(desk.our_comments()) == 1


@pytest.mark.parametrize("fails_at", [1, 2], ids=["eyes", "rocket"])
def test_a_command_that_is_interrupted_is_done_once(desk: Desk, fails_at: int) -> None:
    met: list[int] = []
    fault = desk.world.github.fault("POST .*/reactions", before(lambda: met.append(1)), times=fails_at - 1)
    desk.world.github.fault("POST .*/reactions", status(500))
    comment = desk.says("ann", "/finetune")
    assert (desk.runs(), desk.outcomes, fault.met) == ([], ["again"], fails_at - 1)
    desk.world.clock.advance(60)
    desk.does("command")
    assert (len(desk.runs()), len(desk.jobs("prepare")), reactions(comment)) == (1, 1, ["eyes", "rocket"])


UNHEARD = {
    "quoted": "> /finetune",
    "in a code block": "```\n/finetune\n```",
    "in code": "`/finetune`",
    "in an HTML comment": "<!-- /finetune -->",
    "on the second line": "hello\n/finetune",
    "after a space": " /finetune",
}


@pytest.mark.parametrize("body", UNHEARD.values(), ids=UNHEARD)
def test_what_only_mentions_a_command_gives_none(desk: Desk, body: str) -> None:
    comment = desk.says("ann", body)
    assert (desk.runs(), desk.jobs("command"), reactions(comment)) == ([], [], [])


def test_an_edit_gives_no_command(desk: Desk) -> None:
    comment = desk.says("ann", "hello")
    desk.hears(comment.edit("/finetune"))
    assert (desk.runs(), reactions(comment)) == ([], [])


@pytest.mark.parametrize("body", ["never mind", "/finetune --force", "/screen", " /finetune"])
def test_a_comment_that_was_changed_meanwhile_is_not_what_was_asked(desk: Desk, body: str) -> None:
    comment = desk.world.shop.comment("ann", "/finetune")
    assert desk.asks(desk.world.github.deliveries[-1])
    comment.edit(body)
    desk.does("command")
    assert (desk.runs(), reactions(comment)) == ([], [])


def test_a_comment_that_is_gone_meanwhile_asks_for_nothing(desk: Desk) -> None:
    comment = desk.world.shop.comment("ann", "/finetune")
    assert desk.asks(desk.world.github.deliveries[-1])
    comment.delete()
    done = desk.does("command")
    assert done is not None
    assert (done.reason, desk.runs()) == ("the comment is not there", [])


def test_a_bot_commands_nothing(desk: Desk) -> None:
    desk.world.github.account("helper[bot]", "Bot")
    desk.world.shop.roles["helper[bot]"] = "admin"
    comment = desk.says("helper[bot]", "/finetune")
    assert (desk.runs(), desk.jobs("command"), reactions(comment)) == ([], [], [])


def test_the_author_of_a_pull_request_from_a_fork_commands_nothing(desk: Desk) -> None:
    desk.world.shop.private = False
    comment = desk.says("stranger", "/finetune", issue=3, on_pull_request=True)
    desk.answers()
    assert (desk.runs(), desk.our_comments(), reactions(comment)) == ([], [], ["confused"])


def test_more_than_five_commands_of_a_user_cost_github_nothing(desk: Desk) -> None:
    for _ in range(MOST_OF_A_USER):
        desk.says("ann", "/assay help")
    requests = len(desk.world.github.requests)
    assert reactions(desk.says("ann", "/finetune")) == []
    assert len(desk.world.github.requests) == requests
    assert reactions(desk.says("ada", "/assay help")) == ["eyes", "rocket"]
    desk.world.clock.advance(timedelta(hours=1, seconds=1))
    assert reactions(desk.says("ann", "/assay help")) == ["eyes", "rocket"]


def test_more_than_twenty_commands_in_a_repository_cost_github_nothing(desk: Desk) -> None:
    for number in range(MOST_OF_A_REPOSITORY):
        desk.says(f"reader-{number}", "/assay help")
    requests = len(desk.world.github.requests)
    assert reactions(desk.says("ann", "/finetune")) == []
    assert len(desk.world.github.requests) == requests


def test_a_base_model_is_taken_from_the_list_alone(desk: Desk) -> None:
    comment = desk.says("ann", "/finetune --base-model evil/model-with-a-name")
    assert (desk.runs(), reactions(comment)) == ([], ["eyes", "confused"])
    said = answer(desk)
    assert "evil" not in said
    assert all(f"`{name}` may be used" in said for name in (SMALL, USUAL, LARGE))
    desk.says("ann", f"/finetune --base-model {SMALL}")
    assert [run.base_model for run in desk.runs()] == [SMALL]


def test_on_a_skip_the_command_explains_and_force_starts_a_marked_run(desk: Desk) -> None:
    desk.is_measured(SKIP)
    assert reactions(desk.says("ann", "/finetune")) == ["eyes", "confused"]
    said = answer(desk)
    assert "The verdict is SKIP" in said
    assert "/finetune --force" in said
    assert desk.runs() == []
    assert reactions(desk.says("ann", "/finetune --force")) == ["eyes", "rocket"]
    assert [run.forced for run in desk.runs()] == [True]
    assert "Forced: the verdict is SKIP" in answer(desk)


def test_force_on_a_run_verdict_marks_nothing(desk: Desk) -> None:
    desk.says("ann", "/finetune --force")
    assert [run.forced for run in desk.runs()] == [False]


def test_another_head_gets_a_run_beside_the_one_that_goes_on(desk: Desk) -> None:
    earlier = starts(desk)
    desk.write(lambda c: _moves(c, earlier))
    desk.says("ann", "/finetune", issue=2)
    assert len(desk.runs()) == 2
    desk.answers()
    assert f"An earlier run, at `{'0' * 7}`, goes on beside it." in desk.our_comments()[-1].body


async def _moves(connection: Any, run: Run) -> None:
    """As if it had been asked for at another commit."""
    mine = runs.c.installation_id == run.installation_id, runs.c.run_id == run.run_id
    await connection.execute(update(runs).where(*mine).values(head_sha="0" * 40, open_key="another"))


def test_the_same_head_is_joined_whatever_model_was_asked_for(desk: Desk) -> None:
    starts(desk)
    desk.says("ada", f"/finetune --base-model {LARGE}")
    assert [run.base_model for run in desk.runs()] == [USUAL]
    assert f"base model `{USUAL}`" in answer(desk)


def test_cancel_ends_what_waits_at_once_and_brings_the_first_answer_up_to_date(desk: Desk) -> None:
    starts(desk)
    desk.answers()
    desk.says("ada", "/finetune cancel")
    (run,) = desk.runs()
    assert (run.state, run.ending) == ("ended", "cancelled")
    assert [job.arguments for job in desk.jobs("result")] == [{"run_id": run.run_id}]
    desk.answers()
    of_run, of_cancel = desk.our_comments()
    assert of_run.body.startswith("**Cancelled: the run ended without an outcome.**")
    assert "has ended." in of_cancel.body


def test_cancel_asks_a_running_one_to_end(desk: Desk) -> None:
    is_running(desk, starts(desk))
    desk.says("ann", "/finetune cancel")
    (run,) = desk.runs()
    assert (run.state, run.cancel_asked) == ("running", True)
    desk.answers()
    of_run, of_cancel = desk.our_comments()
    assert of_run.body.startswith("**Being cancelled.**")
    assert "ends as soon as its GPU worker hears of it" in of_cancel.body


def test_cancel_without_a_run_says_so(desk: Desk) -> None:
    assert reactions(desk.says("ann", "/finetune cancel")) == ["eyes", "rocket"]
    assert "no run is open" in answer(desk)


def test_status_tells_how_things_stand_and_when(desk: Desk) -> None:
    is_queued(desk, starts(desk))
    assert reactions(desk.says("bob", "/finetune status")) == ["eyes", "rocket"]
    said = answer(desk)
    assert f"**How `acme/shop` stands** on {START:%Y-%m-%d at %H:%M} UTC:" in said
    assert "Fine-tuning at" in said
    assert "queued since 2026-03-02 09:00 UTC" in said
    assert "Left of this month’s budget: 420 of 500 GPU minutes." in said


def test_an_unknown_word_gets_the_nearest_command_and_is_not_quoted_back(desk: Desk) -> None:
    assert reactions(desk.says("ann", "/finetune cancle my hunter2")) == ["eyes", "confused"]
    said = answer(desk)
    assert "The nearest is `/finetune cancel`" in said
    assert "cancle" not in said
    assert "hunter2" not in said
    (job,) = desk.jobs("command")
    assert job.arguments["command"] == "/finetune"


def test_screen_measures_again_and_says_nothing(desk: Desk) -> None:
    assert reactions(desk.says("ann", "/screen")) == ["eyes", "rocket"]
    (job,) = desk.jobs("screen")
    assert job.arguments == {"force": True}
    desk.answers()
    assert desk.our_comments() == []


def test_a_paused_gpu_is_told_and_the_run_is_queued_all_the_same(desk: Desk) -> None:
    desk.write(lambda c: save_gpu_state(c, GpuState("moving house <b>")))
    is_queued(desk, starts(desk))
    said = answer(desk)
    assert "An operator has paused the GPUs" in said
    assert "<b>" not in said.replace("`<b>`", "")


def test_a_button_of_a_check_run_of_ours_starts_a_run_and_is_answered_by_a_check_run(desk: Desk) -> None:
    desk.presses("ann", "finetune", desk.check_run())
    (run,) = desk.runs()
    assert (run.comment_id, run.asked_by) == (0, desk.world.github.account("ann").account_id)
    assert [job.arguments for job in desk.jobs("result")] == [{"queued": run.run_id}]
    desk.answers()
    assert desk.our_comments() == []


def test_a_button_that_is_refused_is_told_by_a_check_run(desk: Desk) -> None:
    desk.is_measured(SKIP)
    desk.presses("ann", "finetune", desk.check_run())
    assert desk.runs() == []
    assert [job.arguments for job in desk.jobs("result")] == [{"refused": "skip", "head_sha": desk.world.head}]


@pytest.mark.parametrize("button", ["finetune", "rescreen"])
def test_a_button_on_a_check_run_that_no_row_of_ours_knows_does_nothing(desk: Desk, button: str) -> None:
    desk.presses("ann", button, desk.check_run(ours=False))
    assert (desk.runs(), desk.jobs("screen"), desk.jobs("result")) == ([], [], [])
    desk.presses("ann", button, desk.check_run("lint/style"))
    assert (desk.runs(), desk.jobs("screen"), desk.jobs("result")) == ([], [], [])


def test_a_full_hour_of_writes_takes_the_reactions_and_not_the_command(desk: Desk) -> None:
    desk.fills_writes()
    comment = desk.says("ann", "/finetune")
    assert (reactions(comment), len(desk.runs())) == ([], 1)
    desk.answers()
    assert desk.our_comments() == []
    desk.world.clock.advance(timedelta(hours=1, seconds=11))
    desk.answers()
    assert len(desk.our_comments()) == 1


def test_a_pull_request_that_takes_no_comment_of_ours_still_gets_its_run(desk: Desk) -> None:
    desk.world.github.strict_pull_requests = True
    desk.says("ann", "/finetune", issue=3, on_pull_request=True)
    desk.answers()
    assert (len(desk.runs()), desk.our_comments()) == (1, [])
    assert set(desk.outcomes) == {"done"}


def test_an_installation_that_only_reads_issues_is_heard_and_not_answered(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.world.shop.roles["ann"] = "maintain"
        desk.gives_budget()
        desk.is_measured()
        desk.write(lambda c: _permits(c, desk, issues="read"))
        comment = desk.says("ann", "/finetune")
        desk.answers()
        assert (len(desk.runs()), reactions(comment), desk.our_comments()) == (1, [], [])
        assert not [seen for seen in desk.world.github.requests if seen.method == "POST" and "/issues/" in seen.path]


async def _permits(connection: Any, desk: Desk, **changes: str) -> None:
    known = await load_installation(connection, desk.ids[0])
    assert known is not None
    changed = replace(known, permissions={**known.permissions, **changes})
    await save_installation(connection, changed, desk.world.clock.now())


def test_an_archived_repository_is_answered_quietly(desk: Desk) -> None:
    desk.world.shop.archived = True
    desk.write(lambda c: save_repository(c, desk.repository))
    requests = len(desk.world.github.requests)
    desk.says("ann", "/finetune")
    desk.answers()
    assert (desk.runs(), len(desk.world.github.requests)) == ([], requests)
