"""The replies to commands: whole texts, and no live foreign text in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.commands.facts import Facts
from bot.commands.grammar import USAGES, Help, Status, Unclear
from bot.commands.parse import parse_comment
from bot.messages.outcome_text import OUTCOMES, render_change
from bot.messages.refusals import REFUSALS, render_refusal_reply
from bot.messages.replies import marker, render_cancelled, render_reply
from bot.messages.run_comment import RunContext, render_run
from bot.records import GpuState, Usage
from bot.run_progress import Progress, dump_progress
from tests.bot.commands.facts import BUDGET, CONFIG, FULL, facts
from tests.bot.messages.finetune_runs import stored_result
from tests.bot.messages.screenings import MEASUREMENT, WINDOWS, at_density, failed, screened
from tests.bot.messages.test_markdown import HOSTILE, assert_inert
from tests.bot.messages.test_screen_check import OURS
from tests.builders.finetunings import result
from tests.builders.runs import AT, a_run

CONTEXT = RunContext(now=AT, full_name="acme/shop", budget=BUDGET, usage=Usage(20.0, 60.0))
RUN = a_run(base_model="ore/usual", estimated_minutes=79.3, queued_at=AT)
PROGRESS = dump_progress(Progress("training on all labels", seed=2, seeds=3, step=30, steps=120, minutes_left=34.2))

WHAT = "- Fine-tuning `acme/shop` at `aaaaaaa` with the base model `ore/usual`."
RESERVED = """\
- It can take up to 80 GPU minutes, for all seeds, scoring, and retraining after a win. They are reserved from the \
budget; unused minutes are returned."""
LEFT = "- Left of the month’s budget after reservations: 420 of 500 GPU minutes."
FOLLOWS = (
    "This comment is updated as the run goes on. The result will be posted as the check run `assay/finetune` on "
    "`aaaaaaa`."
)
STOP = "To stop it, comment `/finetune cancel`."

OPEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "waiting": (
        {"state": "waiting", "estimated_minutes": 0.0},
        {},
        f"""\
**Preparing.**

{WHAT}
- Collecting training pairs from the history. The most that the run can take is then estimated, and reserved from \
this month’s budget before anything is trained.
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
- No run on this server has been waiting longer.
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
- 2 runs on this server have been waiting longer. Organizations take turns.
- The operator has paused the GPUs; the run waits until they resume. Reason: power cut
{RESERVED}
{LEFT}
- **Forced**: requested although the verdict was SKIP.
- An earlier run, at `bbbbbbb`, is still open.

{FOLLOWS}

{STOP}""",
    ),
    "queued again": (
        {"state": "queued", "started_at": AT, "attempts": 2, "reason": "its GPU worker disappeared"},
        {},
        f"""\
**Waiting for a GPU worker to resume it.**

{WHAT}
- It will resume from its last checkpoint. Reason: its GPU worker disappeared
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
- Validation ρ so far: 0.212. It decides how long to train and says nothing about the outcome.
- Attempt 2, resumed from the last checkpoint.
{RESERVED}
{LEFT}
- Another command had already requested this run; each commit has at most one at a time.

{FOLLOWS}

{STOP}""",
    ),
    "running, with no report yet": (
        {"audit": True},
        {},
        f"""\
**Running.**

{WHAT}
- It has started.
{RESERVED}
{LEFT}
- **Audit**: drawn at random to test a SKIP; nobody requested it.

{FOLLOWS}

{STOP}""",
    ),
    "being cancelled": (
        {"cancel_asked": True},
        {},
        f"""\
**Being cancelled.**

{WHAT}
- It stops as soon as its GPU worker receives the request. The time until then counts against the budget.

{FOLLOWS}""",
    ),
}


def test_an_open_run() -> None:
    wrong = [
        (label, got, text)
        for label, (run, context, text) in OPEN.items()
        if (got := render_run(replace(RUN, **run), replace(CONTEXT, **context))) != text
    ]
    assert wrong == []


ENDED: dict[Any, tuple[str, str]] = {
    "crashed": (
        "Crashed without a result.",
        "Comment `/finetune` to try again. If it crashes again, tell the operator of this server: the log of the GPU "
        "worker has the details.",
    ),
    "cancelled": ("Cancelled without a result.", "Comment `/finetune` to start a new run."),
    "timed_out": (
        "Timed out without a result.",
        "The operator of this server can allow more minutes (`ASSAY_FINETUNE_MINUTES`), or configure fewer seeds or a "
        "smaller base model. `max_minutes` in `.github/assay.yml` may be the limit, too.",
    ),
    "out_of_budget": (
        "Not started: the GPU budget does not cover it.",
        "Wait for the next month (UTC), use a smaller base model, or ask the operator of this server for more minutes "
        "(`assay budget set`).",
    ),
    "refused": ("Not started.", "Once that is resolved, comment `/finetune`."),
}


def test_a_run_without_an_outcome(subtests: pytest.Subtests) -> None:
    for ending, words in ENDED.items():
        with subtests.test(ending=ending, words=words):
            opening, advice = words
            run = replace(RUN, state="ended", ending=ending, reason="its GPU worker disappeared", spent_minutes=12.2)
            assert render_run(run, CONTEXT) == (
                f"**{opening}**\n\n{WHAT}\n- Reason: its GPU worker disappeared\n- It used 13 GPU minutes.\n\n{advice}"
            )


FINISHED = replace(RUN, state="ended", ending="finished", spent_minutes=41.5, result=stored_result())


def test_a_win() -> None:
    change = render_change(0.0264, 0.0271, 2, 143)
    assert (
        render_run(FINISHED, replace(CONTEXT, change=change))
        == f"""\
**WIN: the adapter ranks this repository’s functions better than the baseline.**

{WHAT}
- Adapter: ρ 0.696 (95 %: 0.520 to 0.803); baseline: ρ 0.147 (95 %: 0.043 to 0.250).
- Δρ +0.549 (95 %: +0.378 to +0.682).
- Judged on 300 held-out functions, 60 of them with a fix after the training window.
- The threshold moved from 0.0264 to 0.0271; 2 of 143 verdicts flipped.
- It used 42 GPU minutes.

For all rankings and what to use from now on, see the check run `assay/finetune` on `aaaaaaa`."""
    )


def test_a_threshold_that_stays_is_reported_as_unchanged() -> None:
    assert render_change(0.0264, 0.0264, 0, 1) == "The threshold stays at 0.0264; 0 of 1 verdict flipped."


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_its_headline(outcome: str) -> None:
    run = replace(FINISHED, result=stored_result(outcome=outcome, reason="the resamples disagree"))
    said = render_run(run, CONTEXT)
    assert said.startswith(f"**{outcome}: ")
    assert ("the resamples disagree" in said) is (outcome == "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("made", "mark"),
    [
        (result(seeds=3, completed=2), "Only 2 of 3 seeds were completed within the time limit."),
        (result(seeds=2, completed=2), "The time limit cut training short."),
        (result(control="shuffled labels"), "This run was a control: it counts for no threshold."),
    ],
)
def test_what_limits_a_result_is_reported(made: Any, mark: str) -> None:
    assert f"- {mark}" in render_run(replace(FINISHED, result=stored_result(made)), CONTEXT)
    assert mark not in render_run(FINISHED, CONTEXT)


def test_a_forced_run_is_marked_to_the_end() -> None:
    assert "- **Forced**:" in render_run(replace(FINISHED, forced=True), CONTEXT)
    assert "- **Forced**:" in render_run(replace(FINISHED, ending="crashed", forced=True), CONTEXT)


SHORT = screened(replace(at_density(0.0394), held_out=150, held_out_positives=12))
YOUNG = screened(replace(MEASUREMENT, windows=replace(WINDOWS, too_little_history=True)))
REFUSED: dict[str, tuple[Facts | None, str]] = {
    "skip": (
        facts(screening=screened(at_density(0.0061))),
        """\
**Not started: the verdict is SKIP.**

Fine-tuning is not expected to be worth the GPU time here.

- The mean defect signal density of 0.0061 (0.0051 to 0.0072) is below the threshold of 0.0193.
- The threshold comes from the seed data shipped with Assay; no outcome measured here has moved it yet.
- The threshold rests on 7 outcomes (7 published, 0 measured here); leave-one-out gets 86 % of them right.

Use the ranking instead: the check run `assay/screen`, or `assay rank PATH` on a clone, shows where to look first. To \
train anyway, comment `/finetune --force`; the run is then marked as forced.""",
    ),
    "not_measurable": (
        facts(screening=SHORT),
        """\
**Not started: there is too little data to judge a run.**

That takes at least 200 held-out functions, 20 of them with a fix; with fewer, the result is INCONCLUSIVE.

- Here about 150 functions would be held out, 12 of them with a fix.

Wait until there is more history. To train anyway, comment `/finetune --force`; the run is then marked as forced.""",
    ),
    "cannot_train": (
        facts(screening=YOUNG),
        """\
**Not started: there is too little to train on.**

The training window has too little history or code.

- There is too little history: 3,650 days leave no room for a training window of 180 days.

The check run `assay/screen` says what would change that.""",
    ),
    "screening_failed": (
        facts(screening=failed("the clone is too large")),
        """\
**Not started: this repository could not be measured.**

A run is judged against the verdict that was made before it.

- Reason: the clone is too large

Once the cause is fixed, comment `/screen`, then try again.""",
    ),
    "unknown_model": (
        facts(),
        """\
**Not started: that base model is not allowed here.**

The operator of this server decides which base models may be trained.

- Allowed: `ore/usual`, `ore/large`

Leave out `--base-model` to use the default.""",
    ),
    "out_of_budget": (
        facts(usage=Usage(480.0, 40.0)),
        """\
**Not started: this month’s GPU budget is used up.**

All of its minutes are spent or reserved.

- Left of this month’s budget: 0 of 500 GPU minutes.
- It renews on 2026-12-01 (UTC).

Wait for the next month (UTC), or ask the operator of this server for more minutes (`assay budget set`). Minutes that \
a run reserved and did not use are returned when it ends.""",
    ),
    "lacks_permission": (
        facts(permissions={**FULL, "checks": "read"}),
        """\
**Not started: the App lacks a permission.**

A run needs to read the code and to write check runs.

- Missing: `checks: write`

An owner of the account can grant the permission in the settings of the App’s installation.""",
    ),
    "no_budget": (
        None,
        """\
**Not started: this account has no GPU budget.**

Fine-tuning is off until the operator of this server grants one.

Ask the operator of this server for GPU minutes (`assay budget set`).""",
    ),
}


def test_a_refusal() -> None:
    wrong = [
        (key, case, got, expected)
        for key, case in REFUSED.items()
        if (got := render_refusal_reply(key, case[0])) != (expected := case[1])
    ]
    assert wrong == []


def test_every_refusal_says_that_nothing_was_started_with_facts_and_without_them(subtests: pytest.Subtests) -> None:
    for key in (*REFUSALS, "of another release"):
        with subtests.test(key=key):
            for known in (None, facts(), facts(screening=None)):
                text = render_refusal_reply(key, known)
                assert text.startswith("**Not started: ")
                assert "{" not in text


def test_an_unclear_command_is_answered_with_the_closest_usage() -> None:
    assert (
        render_reply(Unclear("/finetune cancel"), facts())
        == """\
**Assay does not know this command, so nothing was done.**

The closest one is `/finetune cancel`: cancels all open runs.

`/assay help` lists all commands. A command must be the first line of a new comment; edits are not read."""
    )


def test_help_lists_every_usage_who_may_and_what_is_left() -> None:
    said = render_reply(Help(), facts())
    assert all(f"- `{usage}`: " in said for usage in USAGES)
    assert "require the role maintain or admin; the other commands require write." in said
    assert "the default first: `ore/usual`, `ore/large`." in said
    assert said.endswith("Left of this month’s budget: 420 of 500 GPU minutes.")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"budget": None}, "this account has no GPU budget."),
        ({"observes": True}, "this server only observes."),
        ({"models": ()}, "this server does not offer fine-tuning."),
        ({"config": replace(CONFIG, finetune=False)}, "fine-tuning is disabled."),
    ],
)
def test_help_and_status_say_why_no_run_can_be_started(changes: dict[str, Any], why: str) -> None:
    for command in (Help(), Status()):
        assert f"No run can be started: {why}" in render_reply(command, facts(**changes))


def test_status() -> None:
    queued, last = replace(RUN, state="queued"), replace(FINISHED, head_sha="b" * 40)
    assert (
        render_reply(Status(), facts(runs=(queued, last)))
        == """\
**Status of `acme/shop`** on 2026-11-22 at 12:00 UTC:

- Measured on 2026-11-22: worth trying (RUN).
- Fine-tuning at `aaaaaaa`: queued since 2026-11-22 12:00 UTC.
- Last run, at `bbbbbbb`: WIN: the adapter ranks this repository’s functions better than the baseline. Details: the \
check run `assay/finetune` on that commit.
- Left of this month’s budget: 420 of 500 GPU minutes.

This comment will not be updated. To stop all open runs, comment `/finetune cancel`."""
    )


def test_status_where_nothing_has_happened() -> None:
    said = render_reply(Status(), facts(screening=None, gpu=GpuState("power cut")))
    assert "- Not measured yet.\n- No run is open.\n- No run has ended yet.\n" in said
    assert "- The operator has paused the GPUs. Reason: power cut\n" in said
    assert said.endswith("This comment will not be updated.")


def test_what_was_cancelled() -> None:
    ended = replace(RUN, state="ended", ending="cancelled")
    running = replace(RUN, cancel_asked=True, purpose="refit", head_sha="b" * 40)
    assert (
        render_cancelled([ended, running], facts())
        == """\
**Cancelled.**

- The run at `aaaaaaa` (fine-tuning) was cancelled.
- The run at `bbbbbbb` (retraining after a win) stops as soon as its GPU worker receives the request. The time until \
then counts against the budget.

Minutes that were reserved and not used are returned to the budget. To run again, comment `/finetune`."""
    )


def every_text(foreign: str) -> Iterator[str]:
    """Yield every text that can contain foreign text."""
    context = replace(CONTEXT, full_name=foreign, gpu=GpuState(foreign))
    requeued = {"state": "queued", "started_at": AT}
    inconclusive = stored_result(outcome="INCONCLUSIVE", reason=foreign)
    for changes in ({"state": "queued"}, requeued, {"state": "ended", "ending": "crashed"}, {"state": "waiting"}):
        yield render_run(replace(RUN, reason=foreign, base_model=foreign, **changes), context)
    yield render_run(replace(RUN, progress={**PROGRESS, "phase": foreign}), context)
    yield render_run(replace(FINISHED, result=inconclusive), context)
    crashed = replace(RUN, state="ended", ending="crashed", reason=foreign)
    known = facts(full_name=foreign, models=(foreign,), gpu=GpuState(foreign), runs=(crashed,))
    for command in (Help(), Status()):
        yield render_reply(command, known)
    yield render_refusal_reply("unknown_model", known)
    yield render_refusal_reply("screening_failed", replace(known, screening=failed(foreign or "why")))


def test_hostile_text_is_inert_everywhere(subtests: pytest.Subtests) -> None:
    for hostile in HOSTILE:
        with subtests.test(hostile=hostile):
            for text in every_text(hostile):
                assert_inert(text, OURS)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_any_foreign_text_is_inert_everywhere(foreign: str) -> None:
    for text in every_text(foreign):
        assert_inert(text, OURS)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz@#<>[]()!`/-0123456789 ", min_size=1, max_size=60))
def test_nothing_that_a_person_wrote_in_a_command_is_quoted(words: str) -> None:
    secret = f"q{words}zx9"
    command = parse_comment(f"/finetune {secret}")
    if isinstance(command, Unclear):
        said = render_reply(command, facts())
        assert said in {render_reply(Unclear(usage), facts()) for usage in USAGES}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["outcome", "reason", "rho_adapter", "rho_baseline", "delta", "delta_low", "n", "positives", "scorers",
          "ended", "seeds_planned", "seeds_completed", "control"]  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(list(PROGRESS)), JSON))
def test_a_result_or_progress_of_another_release_breaks_no_comment(
    result: dict[str, Any], progress: dict[str, Any]
) -> None:
    for run in (replace(FINISHED, result=result), replace(RUN, progress={**PROGRESS, **progress})):
        text = render_run(run, CONTEXT)
        assert len(text) < 5_000
        assert_inert(text, OURS)


def test_a_marker_is_an_html_comment() -> None:
    assert marker(12) == "<!-- assay:reply 12 -->"
