"""The check run of every ending: whole texts, inert, and within GitHub's limits."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.calibration.ledger_records import NotCounted
from bot.commands.decide import REFUSAL_KEYS
from bot.messages.check_run import MAX_TITLE, NEVER_BLOCKS
from bot.messages.finetune_check import finetune_check, nothing_check, refusal_check, started_check
from bot.messages.finetune_context import FinetuneContext, NextStep, ThresholdChange
from bot.messages.markdown import MAX_BYTES
from bot.messages.refusals import REFUSALS
from bot.messages.run_text import ENDINGS as ENDING_TEXTS
from bot.records import CheckRunFields, Run, RunEnding
from tests.bot.messages.finetune_runs import ended_run, stored_result
from tests.bot.messages.screenings import HEAD, NEWER_HEAD, at_density, failed, screened
from tests.bot.messages.test_markdown import HOSTILE, assert_inert
from tests.bot.messages.test_screen_check import OURS
from tests.pipeline.reports.test_finetune_figures import ANYTHING

CONTEXT = FinetuneContext(
    "acme/shop", HEAD, "assay/finetune/1", screened(), ThresholdChange(0.0264, 0.0271, 2, 143), None, "coming"
)
TABLE = {f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")}
WON = stored_result()

SUMMARY = """\
**Fine-tuning a language model on the bug fixes of `acme/shop` paid off: the model is better than the baseline at \
ranking functions that it was not trained on.**

The model `tiny` was trained on 400 functions as they were on 2017-07-14, and on how much bug fixes touched each of \
them until 2019-06-08. It then ranked 300 other functions, as they were on that day, by the risk of needing a fix. The \
ranking is judged by the fixes after that day, up to 2020-05-20, none of which the model has seen.

### Results

- Adapter: ρ 0.696 (95 %: 0.520 to 0.803); baseline: ρ 0.147 (95 %: 0.043 to 0.250).
- Δρ +0.549 (95 %: +0.378 to +0.682), the interval from paired resamples. +0.030 or more counts as a win.
- 300 held-out functions, 60 of them with a fix (20 %).
- No ranking can exceed ρ_max = 0.699 here.
- The smallest Δρ that this many functions can show is 0.214.
- Better than the best cheap ranking: **yes** (decayed touches; Δρ against it +0.326, 95 %: +0.190 to +0.457).
- Why WIN: ρ 0.696 is 0.549 above the baseline; 0.03 counts as a win

ρ is the rank correlation (Spearman) between a ranking and the fixes that followed: 1 is a perfect order, 0 is no \
order. The baseline is a fixed formula without learning.

### All rankings of the same functions

| ranking | ρ | 95 % | ρ/ρ_max | AUC | precision at 10 | recall at 20 % of lines |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| baseline | 0.147 | 0.043 to 0.250 | 0.210 | 0.605 | 40 % | 32 % |
| adapter | 0.696 | 0.520 to 0.803 | 0.996 | 1.000 | 100 % | 100 % |
| blend of adapter and activity | 0.637 | 0.489 to 0.731 | 0.912 | 0.961 | 100 % | 77 % |
| size | −0.038 | −0.118 to 0.042 | −0.054 | 0.463 | 0 % | 12 % |
| decayed touches | 0.370 | 0.220 to 0.481 | 0.530 | 0.769 | 70 % | 55 % |
| frozen embeddings + ridge | 0.307 | 0.195 to 0.419 | 0.440 | 0.717 | 50 % | 48 % |
| adapter, seed 1 | 0.692 | 0.519 to 0.797 | 0.991 | 0.998 | 100 % | 95 % |
| adapter, seed 2 | 0.693 | 0.520 to 0.796 | 0.993 | 1.000 | 100 % | 97 % |

### What to use from now on

The ranking by the adapter. The model is being retrained with the same recipe on all labels up to now. Once that is \
done, it ranks in `assay/screen`. The retrained adapter is not judged again.

### The prediction before the run

Measured on 2026-11-22: density 0.0394 (95 %: 0.0331 to 0.0462), threshold 0.0193, verdict: worth trying (RUN). It was \
**right**.

### What it changes

It joined the calibration set. The threshold moved from 0.0264 to 0.0271; 2 of 143 verdicts flipped.

This never blocks a merge. Please do not make it a required check."""

TEXT = """\
### How it learned

```text
loss (lower is better)
step 1  1.000  ########################################
step 2  0.500  ####################
step 3  0.333  #############
step 4  0.250  ##########
step 5  0.200  ########
step 6  0.167  #######
step 7  0.143  ######
step 8  0.125  #####

validation ρ (higher is better), on labels kept out of training
step 2  0.150  ###############
step 4  0.150  ###############
step 6  0.400  ########################################
step 8  0.300  ##############################

seed 1: 6 of 8 steps chosen
seed 2: 6 of 8 steps chosen
```

### How it was made

- Commit `abc1234000000000000000000000000000000000`, pinned when the run was requested on 2026-11-22
- Trained on 400 functions, 80 of them with a fix
- Base model `tiny`
- Seeds completed: 1, 2; planned: 1, 2
- Recipe `f368a1455521`, label recipe `0123456789ab`
- Pairs `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb`
- GPU time: 120 minutes reserved, 35 minutes used, from the budget of 2026-11
- Device `CPU (2 threads)`"""


def lost(outcome: str, rho_adapter: float, **said: Any) -> Run:
    return ended_run(result=WON | {"outcome": outcome, "rho_adapter": rho_adapter} | said)


def checked(run: Run | None = None, **shown: Any) -> CheckRunFields:
    return finetune_check(run or ended_run(), dataclasses.replace(CONTEXT, **shown))


def section_of(fields: CheckRunFields, heading: str) -> str:
    return fields.summary.partition(f"### {heading}\n\n")[2].partition("\n\n###")[0].partition(f"\n\n{NEVER_BLOCKS}")[0]


def test_a_whole_win() -> None:
    fields = checked()
    assert (fields.name, fields.head_sha, fields.conclusion) == ("assay/finetune", HEAD, "success")
    assert fields.title == "WIN: ρ 0.696 with the adapter, 0.147 with the baseline, 300 held-out functions"
    assert fields.summary == SUMMARY
    assert fields.text == TEXT


@pytest.mark.parametrize(
    ("run", "title", "answer"),
    [
        (
            lost("SOFT LOSS", 0.15),
            "SOFT LOSS: ρ 0.150 with the adapter, 0.147 with the baseline, 300 held-out functions",
            "did not pay off: the model is hardly better than the baseline at ranking functions",
        ),
        (
            lost("HARD LOSS", 0.1),
            "HARD LOSS: ρ 0.100 with the adapter, 0.147 with the baseline, 300 held-out functions",
            "did not pay off: the model is worse than the baseline at ranking",
        ),
        (
            lost("HARD LOSS", -0.1),
            "HARD LOSS: ρ −0.100 with the adapter, 0.147 with the baseline, 300 held-out functions",
            "did not pay off: the model is worse than chance at ranking",
        ),
        (
            lost("INCONCLUSIVE", 0.16),
            "INCONCLUSIVE: ρ 0.160 with the adapter, 0.147 with the baseline, 300 held-out functions",
            "This run cannot tell whether fine-tuning a language model on the bug fixes of `acme/shop` pays off.",
        ),
        (
            ended_run(result=WON | {"control": "shuffled labels"}),
            "WIN (control): ρ 0.696 with the adapter, 0.147 with the baseline, 300 held-out functions",
            "A control: fine-tuning a language model on the bug fixes of `acme/shop` with something broken on purpose",
        ),
    ],
    ids=["soft", "hard", "below zero", "inconclusive", "control"],
)
def test_every_outcome_but_a_win_is_neutral_and_recommends_the_baseline(run: Run, title: str, answer: str) -> None:
    fields = checked(run)
    assert (fields.conclusion, fields.title) == ("neutral", title)
    assert answer in fields.summary.partition("\n")[0]
    assert section_of(fields, "What to use from now on").startswith("The baseline: see **Look here first** in")


@pytest.mark.parametrize(
    ("run", "title", "mark"),
    [
        (ended_run(forced=True), "WIN (forced): ", "**Forced**: requested although the verdict was SKIP."),
        (ended_run(audit=True), "WIN (audit): ", "**Audit**: drawn at random to test a SKIP; nobody requested it."),
        (
            ended_run(result=WON | {"ended": "time limit", "seeds_completed": [1]}),
            "WIN (time limit, fewer seeds): ",
            "- **Time limit**: training was cut short, and more time might have changed the result.\n"
            "- **Fewer seeds**: only 1 of 2 seeds completed.",
        ),
        (ended_run(result=WON | {"config_hash": "c0ffee"}), "WIN: ", "**Own configuration**: measured with this"),
        (
            ended_run(result=WON | {"control": "shuffled labels"}),
            "WIN (control): ",
            "**Control** (shuffled labels): it never counts as an outcome.",
        ),
    ],
    ids=["forced", "audit", "time limit", "own configuration", "control"],
)
def test_what_sets_a_run_apart_is_at_the_top(run: Run, title: str, mark: str) -> None:
    fields = checked(run)
    assert fields.title.startswith(title)
    assert mark in fields.summary.partition("The model `tiny`")[0]


ENDINGS: list[tuple[RunEnding, str, str, str, str]] = [
    (
        "crashed",
        "neutral",
        "crashed without a result",
        "The run itself failed; this says nothing about the repository.",
        "Comment `/finetune` on an issue to try again. If it crashes again, tell the operator of this server: the log "
        "of the GPU worker has the details.",
    ),
    (
        "cancelled",
        "cancelled",
        "cancelled without a result",
        "Somebody cancelled it, or the request for it is no longer valid.",
        "Comment `/finetune` on an issue to start a new run.",
    ),
    (
        "timed_out",
        "neutral",
        "timed out without a result",
        "The run reached its time limit and was stopped.",
        "The operator of this server can allow more minutes (`ASSAY_FINETUNE_MINUTES`), or configure fewer seeds or a "
        "smaller base model. `max_minutes` in `.github/assay.yml` may be the limit, too.",
    ),
    (
        "out_of_budget",
        "neutral",
        "not started: the GPU budget does not cover it",
        "Before a run is queued, the most that it can take is reserved from the month’s budget; there was not enough "
        "left.",
        "Wait for the next month (UTC), use a smaller base model, or ask the operator of this server for more minutes "
        "(`assay budget set`).",
    ),
    (
        "refused",
        "neutral",
        "not started",
        "Something prevented the run from starting.",
        "Once that is resolved, comment `/finetune` on an issue.",
    ),
]
COST = "GPU time: 120 minutes reserved, 35 minutes used, from the budget of 2026-11."


def test_an_end_without_a_result_says_why_and_what_to_do(subtests: pytest.Subtests) -> None:
    for ending, conclusion, title, why, to_do in ENDINGS:
        with subtests.test(ending):
            fields = checked(ended_run(ending, reason="out of memory on cuda:0"))
            assert (fields.conclusion, fields.title, fields.text) == (conclusion, title, "")
            assert fields.summary == (
                "**Fine-tuning a language model on the bug fixes of `acme/shop` "
                f"{ENDING_TEXTS[ending].predicate}.**\n\n"
                f"{why}\n\nReason: out of memory on `cuda:0`\n\n"
                "No outcome was counted: the threshold and the ranking are unchanged.\n\n"
                f"### What to do\n\n{to_do}\n\n### What it cost\n\n{COST}\n\n{NEVER_BLOCKS}"
            )
            assert ENDING_TEXTS[ending].predicate.removeprefix("was ") == title


def test_every_ending_has_its_text() -> None:
    without_result = set(get_args(RunEnding)) - {"", "finished"}
    assert {row[0] for row in ENDINGS} == without_result
    assert set(ENDING_TEXTS) == without_result | {""}


def test_a_run_that_reserved_nothing_cost_nothing() -> None:
    summary = checked(ended_run("refused", budget_month="", spent_minutes=0.0)).summary
    assert "GPU time: none was reserved and none was used." in summary


def test_without_comments_the_text_points_to_the_button() -> None:
    summary = checked(ended_run("crashed"), comments_enabled=False).summary
    assert "Press **Fine-tune** on `assay/screen` to try again." in summary
    assert "/finetune" not in summary


@pytest.mark.parametrize(
    ("run", "shown", "said"),
    [
        (
            ended_run(),
            {},
            "It joined the calibration set. The threshold moved from 0.0264 to 0.0271; 2 of 143 verdicts flipped.",
        ),
        (
            ended_run(config_hash="c0ffee"),
            {"change": ThresholdChange(0.0264, 0.0264, 0, 1)},
            "It joined the calibration set. The threshold stays at 0.0264; 0 of 1 verdict flipped. Measured with its "
            "own configuration, it counts for this installation only.",
        ),
        (ended_run(), {"change": None}, "Its effect on the threshold is not stored."),
        (
            ended_run(),
            {"not_counted": NotCounted("no_density")},
            "Nothing, because no density had been measured before it.",
        ),
        (
            ended_run(),
            {"not_counted": NotCounted("excluded", operator_reason="a monorepo")},
            "Nothing, because an operator excluded this repository: a monorepo.",
        ),
        (
            ended_run(),
            {"not_counted": NotCounted("family_differs", family="large", threshold_family="tiny")},
            "Nothing, because the threshold is that of the base model family tiny, and this run used large.",
        ),
        (
            lost("INCONCLUSIVE", 0.1),
            {},
            "Nothing: an inconclusive outcome is kept in the ledger and never moves the threshold.",
        ),
        (
            ended_run(result=WON | {"control": "shuffled labels"}),
            {},
            "Nothing: a control never enters the calibration set.",
        ),
    ],
    ids=["moved", "stays", "unknown", "left out", "excluded", "another family", "inconclusive", "control"],
)
def test_the_effect_on_the_threshold(run: Run, shown: dict[str, Any], said: str) -> None:
    assert section_of(checked(run, **shown), "What it changes") == said


def test_the_prediction_is_compared_with_the_outcome() -> None:
    cases: list[tuple[str, Run, Any, str]] = [
        (
            "missed win",
            ended_run(),
            screened(at_density(0.0065)),
            "verdict: not worth it (SKIP): use the ranking. It was **wrong**.",
        ),
        ("right skip", lost("SOFT LOSS", 0.15), screened(at_density(0.0065)), "It was **right**."),
        ("wrong run", lost("HARD LOSS", 0.1), screened(), "It was **wrong**."),
        ("unknown", lost("INCONCLUSIVE", 0.1), screened(), "This run cannot tell whether it was right."),
        ("none", ended_run(), None, "None: no verdict was stored before this run."),
        ("failed", ended_run(), failed("too large"), "None: no verdict was stored before this run."),
        ("older head", ended_run(head_sha=NEWER_HEAD), screened(), "Measured on 2026-11-22 at `abc1234`: density"),
        (
            "unreadable",
            ended_run(),
            dataclasses.replace(screened(), judgement={"verdict": "RUN"}),
            "It was stored by another release of Assay, and this one cannot read it.",
        ),
    ]
    wrong = [
        (case, got)
        for case, run, predicted, said in cases
        if said not in (got := section_of(checked(run, predicted=predicted), "The prediction before the run"))
    ]
    assert wrong == []


STEPS: list[tuple[NextStep, str]] = [
    ("", "The ranking by the adapter."),
    (
        "coming",
        "The ranking by the adapter. The model is being retrained with the same recipe on all labels",
    ),
    (
        "ranks",
        "The ranking by the adapter. Retrained with the same recipe on all labels, it ranks in `assay/screen`.",
    ),
    ("failed", "Retraining on all labels failed, so the baseline ranks for now. Reason: no room left"),
    ("unseen", "It is not retrained, because this repository is public and its ranking is not shown"),
    ("off", "It is not retrained, because there are no GPU minutes for it"),
    ("overruled", "A newer result decides: this run was requested before that one."),
]


def test_what_to_use_from_now_on() -> None:
    wrong = [
        (step, said, got)
        for step, said in STEPS
        if said not in (got := section_of(checked(next_step=step, why_not="no room left"), "What to use from now on"))
    ]
    assert wrong == []


def test_every_next_step_has_its_text() -> None:
    assert {step for step, _ in STEPS} == set(get_args(NextStep))


def test_the_blend_is_named_if_it_is_better() -> None:
    scorers = WON["scorers"] | {"blend of adapter and activity": {"rho": 0.7}}
    fields = checked(ended_run(result=WON | {"scorers": scorers}))
    assert "The ranking by the blend of adapter and activity, which does even better." in fields.summary


def test_an_unreadable_result_is_reported_as_such() -> None:
    for nonsense in (None, {}, {"outcome": "DRAW"}):
        fields = checked(ended_run(result=nonsense))
        assert (fields.conclusion, fields.title) == ("neutral", "finished, but the result cannot be read")
        assert fields.summary.startswith("**The run finished, but its result was stored by another release of Assay")


class TestButtons:
    def test_the_table_of_refusals_is_complete(self) -> None:
        assert set(REFUSALS) == set(REFUSAL_KEYS)

    def test_every_refusal_says_why_and_what_to_do(self, subtests: pytest.Subtests) -> None:
        for key in REFUSAL_KEYS:
            with subtests.test(key=key):
                fields = refusal_check(key, CONTEXT)
                assert fields.conclusion == "neutral"
                assert fields.title.startswith("not started: ")
                assert "### What to do\n\n" in fields.summary
                assert_ours(fields)

    def test_a_refusal_of_another_release_has_a_general_text(self) -> None:
        fields = refusal_check("<b>@bob</b>", CONTEXT)
        assert fields.title == "not started: that is not possible now"
        assert "bob" not in fields.summary

    @pytest.mark.parametrize(
        ("state", "title"),
        [
            ("waiting", "queued: collecting training pairs"),
            ("queued", "queued: waiting for a GPU worker"),
            ("running", "running on a GPU worker"),
        ],
    )
    def test_an_open_run_says_what_it_is_doing(self, state: str, title: str) -> None:
        fields = started_check(ended_run("", state=state), CONTEXT)
        assert (fields.title, fields.conclusion) == (title, "neutral")
        assert "Up to 120 minutes of GPU time are reserved for it." in fields.summary
        assert_ours(fields)

    def test_a_commit_without_a_run_says_so(self) -> None:
        assert nothing_check(CONTEXT).title == "no result is stored"
        assert_ours(nothing_check(CONTEXT))


def assert_ours(fields: CheckRunFields) -> None:
    for markdown in (fields.summary, fields.text):
        assert_inert(markdown, OURS | TABLE)
        assert len(markdown.encode()) <= MAX_BYTES
    assert len(fields.title) < MAX_TITLE
    assert fields.title.isprintable()


@settings(deadline=None)
@given(ANYTHING)
def test_any_stored_value_can_be_posted(value: Any) -> None:
    run = ended_run("finished", result=value)
    assert_ours(finetune_check(run, CONTEXT))


@settings(deadline=None)
@given(st.sampled_from(sorted(WON)), ANYTHING)
def test_a_result_with_any_damaged_field_can_be_posted(name: str, value: Any) -> None:
    assert_ours(finetune_check(ended_run(result=WON | {name: value}), CONTEXT))


def test_hostile_text_is_inert(subtests: pytest.Subtests) -> None:
    for hostile in HOSTILE:
        with subtests.test(hostile=hostile):
            said: dict[str, Any] = {
                "reason": hostile,
                "device": hostile,
                "best_cheap": hostile,
                "control": "",
                "notes": [hostile],
            }
            said |= {
                "scorers": {hostile: {"rho": 0.1, "reason": hostile}},
                "recipe_id": hostile,
                "config_hash": hostile,
            }
            excluded = NotCounted("excluded", operator_reason=hostile)
            shown = dataclasses.replace(
                CONTEXT, full_name=hostile, not_counted=excluded, next_step="failed", why_not=hostile
            )
            run = ended_run(base_model=hostile, label_recipe_id=hostile, result=WON | said)
            assert_ours(finetune_check(run, shown))
            assert_ours(finetune_check(dataclasses.replace(run, ending="crashed", reason=hostile), shown))


def test_the_largest_readable_result_is_not_truncated() -> None:
    name = "`@bob` " * 60
    said: dict[str, Any] = {"notes": [name * 9] * 30}
    said["scorers"] = {f"{n} {name}": {"rho": 0.5, "reason": name} for n in range(60)}
    fields = checked(ended_run(result=WON | said))
    assert_ours(fields)
    assert "Truncated" not in fields.summary + fields.text
