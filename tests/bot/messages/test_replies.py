"""Every sentence that a command is answered with: golden texts, and nothing foreign that is alive in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.commands.decide import REFUSALS
from bot.commands.facts import Facts
from bot.commands.grammar import USAGES, Help, Status, Unclear
from bot.commands.parse import parse_comment
from bot.messages.outcome_text import OUTCOMES, render_change
from bot.messages.replies import marker, render_answer, render_cancelled, render_refusal
from bot.messages.run_comment import Told, render_run
from bot.records import GpuState, Usage
from bot.run_progress import Progress, dump_progress
from tests.bot.commands.facts import BUDGET, CONFIG, FULL, facts
from tests.bot.messages.finetune_runs import stored_result
from tests.bot.messages.screenings import MEASUREMENT, WINDOWS, at_density, failed, screened
from tests.bot.messages.test_markdown import HOSTILE, assert_inert
from tests.bot.messages.test_screen_check import OURS
from tests.builders.finetunings import result
from tests.builders.runs import AT, a_run

TOLD = Told(now=AT, full_name="acme/shop", budget=BUDGET, usage=Usage(20.0, 60.0))
RUN = a_run(base_model="ore/usual", estimated_minutes=79.3, queued_at=AT)
PROGRESS = dump_progress(Progress("training on all labels", seed=2, seeds=3, step=30, steps=120, minutes_left=34.2))

WHAT = "- Fine-tuning of `acme/shop` at `aaaaaaa`, base model `ore/usual`."
RESERVED = """\
- It can take 80 GPU minutes at most: all seeds, scoring, and training once more after a win. So much is reserved from \
the budget; what it does not take is given back."""
LEFT = "- Left of the month’s budget beside what is reserved: 420 of 500 GPU minutes."
FOLLOWS = "This comment follows the run. What comes out is posted as the check run `assay/finetune` on `aaaaaaa`."
STOP = "To stop it, comment `/finetune cancel`."

OPEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "waiting": (
        {"state": "waiting", "estimated_minutes": 0.0},
        {},
        f"""\
**Preparing.**

{WHAT}
- The training pairs are being gathered from the history. What the run can take at most is estimated then, and \
reserved from this month’s budget before anything is trained.
{LEFT}

{FOLLOWS}

{STOP}""",
    ),
    "queued": (
        {"state": "queued"},
        {},
        f"""\
**Queued.**

{WHAT}
- No run of this server has waited longer.
{RESERVED}
{LEFT}

{FOLLOWS}

{STOP}""",
    ),
    "queued behind others while GPUs are paused": (
        {"state": "queued", "forced": True},
        {"ahead": 2, "gpu": GpuState("power cut"), "others": (replace(RUN, head_sha="b" * 40),)},
        f"""\
**Queued.**

{WHAT}
- 2 runs of this server have waited longer. Organizations take turns.
- An operator has paused the GPUs; it waits until they go on. Reason: power cut
{RESERVED}
{LEFT}
- Forced: the verdict is SKIP, which advises against it.
- An earlier run, at `bbbbbbb`, goes on beside it.

{FOLLOWS}

{STOP}""",
    ),
    "queued again": (
        {"state": "queued", "started_at": AT, "attempts": 2, "reason": "its GPU worker vanished"},
        {},
        f"""\
**Waiting for a GPU worker to go on.**

{WHAT}
- It was begun, and goes on from its last checkpoint. What happened: its GPU worker vanished
{RESERVED}
{LEFT}

{FOLLOWS}

{STOP}""",
    ),
    "running": (
        {"progress": {**PROGRESS, "rho": 0.2117}, "attempts": 2},
        {"joined": True},
        f"""\
**Running.**

{WHAT}
- Training on all labels, seed 2 of 3.
- `[#####...............]` step 30 of 120
- About 35 minutes left.
- Validation ρ so far 0.212. It chooses how long to train, and says nothing about the outcome.
- Attempt 2: it went on from its last checkpoint.
{RESERVED}
{LEFT}
- Another command had asked for it first: there is one run at a time for a commit.

{FOLLOWS}

{STOP}""",
    ),
    "running without a word yet": (
        {"audit": True},
        {},
        f"""\
**Running.**

{WHAT}
- It has begun.
{RESERVED}
{LEFT}
- Drawn at random among the SKIPs, to test whether they are right.

{FOLLOWS}

{STOP}""",
    ),
    "being cancelled": (
        {"cancel_asked": True},
        {},
        f"""\
**Being cancelled.**

{WHAT}
- It ends as soon as its GPU worker hears of it. What it took until then counts.

{FOLLOWS}""",
    ),
}


@pytest.mark.parametrize(("run", "told", "text"), OPEN.values(), ids=OPEN)
def test_an_open_run(run: dict[str, Any], told: dict[str, Any], text: str) -> None:
    assert render_run(replace(RUN, **run), replace(TOLD, **told)) == text


ENDED = {
    "crashed": (
        "Crashed: the run ended without an outcome.",
        "The operator’s log says more. To try again, comment `/finetune`.",
    ),
    "cancelled": (
        "Cancelled: the run ended without an outcome.",
        "It is not running any more. To try again, comment `/finetune`.",
    ),
    "timed_out": (
        "Timed out: the run took longer than it may and ended without an outcome.",
        "A smaller base model or fewer seeds take less time; an operator can allow more.",
    ),
    "out_of_budget": (
        "Out of budget: the run ended without an outcome.",
        "The budget is of a calendar month (UTC). An operator can raise it, and `/finetune` asks again.",
    ),
    "refused": ("Refused: the run ended without an outcome.", "`/finetune` asks again once the reason is gone."),
}


@pytest.mark.parametrize(("ending", "words"), ENDED.items(), ids=ENDED)
def test_a_run_without_an_outcome(ending: Any, words: tuple[str, str]) -> None:
    opening, advice = words
    run = replace(RUN, state="ended", ending=ending, reason="its GPU worker vanished", spent_minutes=12.2)
    assert render_run(run, TOLD) == (
        f"**{opening}**\n\n{WHAT}\n- Reason: its GPU worker vanished\n- It took 13 GPU minutes.\n\n{advice}"
    )


FINISHED = replace(RUN, state="ended", ending="finished", spent_minutes=41.5, result=stored_result())


def test_a_win() -> None:
    change = render_change(0.0264, 0.0271, 2, 143)
    assert (
        render_run(FINISHED, replace(TOLD, change=change))
        == f"""\
**WIN: the adapter ranks this repository’s functions better than the ranking without a model does.**

{WHAT}
- ρ of the adapter 0.696 (95 % interval 0.520 to 0.803), of the baseline 0.147 (95 % interval 0.043 to 0.250).
- Δρ +0.549 (95 % interval +0.378 to +0.682).
- Judged on 300 held-out functions, 60 of them with a fix after the training window.
- The threshold went from 0.0264 to 0.0271; 2 of 143 repositories flipped.
- It took 42 GPU minutes.

All rankings and what to use from now on: the check run `assay/finetune` on `aaaaaaa`."""
    )


def test_a_threshold_that_stays_is_told_as_that() -> None:
    assert render_change(0.0264, 0.0264, 0, 1) == "The threshold stays at 0.0264; 0 of 1 repository flipped."


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_its_headline(outcome: str) -> None:
    run = replace(FINISHED, result=stored_result(outcome=outcome, reason="the resamples disagree"))
    said = render_run(run, TOLD)
    assert said.startswith(f"**{outcome}: ")
    assert ("the resamples disagree" in said) is (outcome == "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("made", "mark"),
    [
        (result(seeds=3, completed=2), "Only 2 of 3 seeds were completed within the time limit."),
        (result(seeds=2, completed=2), "The time limit cut it short."),
        (result(control="shuffled labels"), "It was a control and no real run: it counts for no threshold."),
    ],
)
def test_what_makes_a_result_less_is_told(made: Any, mark: str) -> None:
    assert f"- {mark}" in render_run(replace(FINISHED, result=stored_result(made)), TOLD)
    assert mark not in render_run(FINISHED, TOLD)


def test_a_forced_run_is_marked_to_the_end() -> None:
    assert "- Forced:" in render_run(replace(FINISHED, forced=True), TOLD)
    assert "- Forced:" in render_run(replace(FINISHED, ending="crashed", forced=True), TOLD)


SHORT = screened(replace(at_density(0.0394), held_out=150, held_out_positives=12))
YOUNG = screened(replace(MEASUREMENT, windows=replace(WINDOWS, too_little_history=True)))
REFUSED: dict[str, tuple[Facts | None, str]] = {
    "skip": (
        facts(screening=screened(at_density(0.0061))),
        """\
**The verdict is SKIP: fine-tuning is not expected to be worth the GPU time.**

- The mean defect signal density of 0.0061 (0.0051 to 0.0072) is below the threshold of 0.0193.
- The threshold is that of the seed data shipped with Assay: no outcome measured here has moved it yet.
- The threshold rests on 7 outcomes (7 published, 0 measured here); leave-one-out gets 86 % of them right.

Nothing was started. Use the ranking instead: the check run `assay/screen`, or `assay rank PATH` on a clone, says \
where to look first. `/finetune --force` trains all the same, marked as forced.""",
    ),
    "not_measurable": (
        facts(screening=SHORT),
        """\
**A run could not be judged here, so its outcome would tell nothing.**

- To judge a run takes at least 200 held-out functions, 20 of them with a fix.
- Here about 150 functions would be held out, 12 with a fix.

Nothing was started. `/finetune --force` trains all the same; expect no answer (INCONCLUSIVE).""",
    ),
    "cannot_train": (
        facts(screening=YOUNG),
        """\
**There is too little history or code to train on.**

- There is too little history: 3,650 days give no training window of 180 days.

Nothing was started. The check run `assay/screen` says what would change it.""",
    ),
    "screening_failed": (
        facts(screening=failed("the clone is too large")),
        """\
**This repository could not be measured, so nothing is known of what a run would bring.**

- Reason: the clone is too large

Nothing was started. Once the cause is gone, comment `/screen`, then `/finetune`.""",
    ),
    "unknown_model": (
        facts(),
        """\
**That base model may not be used here.**

- `ore/usual` may be used
- `ore/large` may be used

Nothing was started. An operator decides which may be used. Without `--base-model` the usual one is taken.""",
    ),
    "out_of_budget": (
        facts(usage=Usage(480.0, 40.0)),
        """\
**This month’s budget of GPU minutes is spent or reserved.**

- Left of this month’s budget: 0 of 500 GPU minutes.
- It renews on 2026-12-01 (UTC).

Nothing was started. Runs that end before their time give minutes back, and an operator can raise the budget.""",
    ),
    "lacks_permission": (
        facts(permissions={**FULL, "checks": "read"}),
        """\
**The App lacks permissions that a run takes.**

- `checks`: write

Nothing was started. An owner can grant them in the App’s installation.""",
    ),
    "no_budget": (
        None,
        """\
**Fine-tuning is off here: there is no budget of GPU minutes for this installation.**

Nothing was started. Whoever operates this server can give it one: `assay budget set`.""",
    ),
}


@pytest.mark.parametrize(("key", "case"), REFUSED.items(), ids=REFUSED)
def test_a_refusal(key: str, case: tuple[Facts | None, str]) -> None:
    assert render_refusal(key, case[0]) == case[1]


@pytest.mark.parametrize("key", [*REFUSALS, "of another release"])
def test_every_refusal_says_that_nothing_was_started_with_facts_and_without(key: str) -> None:
    texts = [render_refusal(key), render_refusal(key, facts()), render_refusal(key, facts(screening=None))]
    assert all("\n\nNothing was started." in text and text.startswith("**") for text in texts)


def test_an_unclear_command_gets_the_nearest() -> None:
    assert (
        render_answer(Unclear("/finetune cancel"), facts())
        == """\
**This is no command that Assay knows, so nothing was done.**

The nearest is `/finetune cancel`: ends the run.

`/assay help` lists all of them. A command is the first line of a new comment; an edit is not read."""
    )


def test_help_lists_every_usage_who_may_and_what_is_left() -> None:
    said = render_answer(Help(), facts())
    assert all(f"- `{usage}`: " in said for usage in USAGES)
    assert "by whoever has the role maintain or admin here" in said
    assert "the usual one first: `ore/usual`, `ore/large`." in said
    assert said.endswith("Left of this month’s budget: 420 of 500 GPU minutes.")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"budget": None}, "fine-tuning is off here: there is no budget of GPU minutes for this installation."),
        ({"observes": True}, "this server only observes."),
        ({"models": ()}, "this server does not fine-tune: its operator allows no base model."),
        (
            {"config": replace(CONFIG, finetune=False)},
            "fine-tuning is switched off in the configuration of this repository or its organization.",
        ),
    ],
)
def test_help_and_status_say_why_no_run_can_be_started(changes: dict[str, Any], why: str) -> None:
    for command in (Help(), Status()):
        assert f"No run can be started: {why}" in render_answer(command, facts(**changes))


def test_status() -> None:
    queued, last = replace(RUN, state="queued"), replace(FINISHED, head_sha="b" * 40)
    assert (
        render_answer(Status(), facts(runs=(queued, last)))
        == """\
**How `acme/shop` stands** on 2026-11-22 at 12:00 UTC:

- Measured on 2026-11-22: worth trying (RUN).
- Fine-tuning at `aaaaaaa`: queued since 2026-11-22 12:00 UTC.
- The last run, at `bbbbbbb`: WIN: the adapter ranks this repository’s functions better than the ranking without a \
model does. Details: the check run `assay/finetune` there.
- Left of this month’s budget: 420 of 500 GPU minutes.

This comment stays as it is. To stop what is open, comment `/finetune cancel`."""
    )


def test_status_where_nothing_has_happened() -> None:
    said = render_answer(Status(), facts(screening=None, gpu=GpuState("power cut")))
    assert "- It has not been measured yet.\n- No run is open.\n- No run has ended yet.\n" in said
    assert "- An operator has paused the GPUs. Reason: power cut\n" in said
    assert said.endswith("This comment stays as it is.")


def test_what_was_cancelled() -> None:
    ended = replace(RUN, state="ended", ending="cancelled")
    running = replace(RUN, cancel_asked=True, purpose="refit", head_sha="b" * 40)
    assert (
        render_cancelled([ended, running], facts())
        == """\
**Cancelled.**

- The run at `aaaaaaa` (fine-tuning) has ended.
- The run at `bbbbbbb` (training once more after a win) ends as soon as its GPU worker hears of it. What it took until \
then counts.

Minutes that were reserved and not spent are given back. To run again, comment `/finetune`."""
    )


# Nothing foreign is alive in any text.


def every_text(foreign: str) -> Iterator[str]:
    """All texts that anything foreign can stand in."""
    told = replace(TOLD, full_name=foreign, gpu=GpuState(foreign))
    requeued = {"state": "queued", "started_at": AT}
    inconclusive = stored_result(outcome="INCONCLUSIVE", reason=foreign)
    for changes in ({"state": "queued"}, requeued, {"state": "ended", "ending": "crashed"}, {"state": "waiting"}):
        yield render_run(replace(RUN, reason=foreign, base_model=foreign, **changes), told)
    yield render_run(replace(RUN, progress={**PROGRESS, "phase": foreign}), told)
    yield render_run(replace(FINISHED, result=inconclusive), told)
    crashed = replace(RUN, state="ended", ending="crashed", reason=foreign)
    known = facts(full_name=foreign, models=(foreign,), gpu=GpuState(foreign), runs=(crashed,))
    for command in (Help(), Status()):
        yield render_answer(command, known)
    yield render_refusal("unknown_model", known)
    yield render_refusal("screening_failed", replace(known, screening=failed(foreign or "why")))


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_nothing_hostile_is_alive_in_any_text(hostile: str) -> None:
    for text in every_text(hostile):
        assert_inert(text, OURS)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_nothing_foreign_is_alive_in_any_text(foreign: str) -> None:
    for text in every_text(foreign):
        assert_inert(text, OURS)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz@#<>[]()!`/-0123456789 ", min_size=1, max_size=60))
def test_nothing_that_a_person_wrote_in_a_command_comes_back(words: str) -> None:
    secret = f"q{words}zx9"
    command = parse_comment(f"/finetune {secret}")
    if isinstance(command, Unclear):
        said = render_answer(command, facts())
        assert said in {render_answer(Unclear(usage), facts()) for usage in USAGES}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
NAMES = ["outcome", "reason", "rho_adapter", "rho_baseline", "delta", "delta_low", "n", "positives", "scorers", "ended",
         "seeds_planned", "seeds_completed", "control"]  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(list(PROGRESS)), JSON))
def test_a_result_or_progress_of_another_release_breaks_no_comment(
    result: dict[str, Any], progress: dict[str, Any]
) -> None:
    for run in (replace(FINISHED, result=result), replace(RUN, progress={**PROGRESS, **progress})):
        text = render_run(run, TOLD)
        assert len(text) < 5_000
        assert_inert(text, OURS)


def test_a_marker_is_a_comment_of_html() -> None:
    assert marker(12) == "<!-- assay:reply 12 -->"
