"""A stored result is read back as it was, and whatever else stands there does no harm."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.result import FinetuneResult
from pipeline.finetuning.result_assembly import ranker_after
from pipeline.ranking.baseline import Baseline
from pipeline.reports.finetune_figures import ADAPTER, BASELINE, BLEND, FinetuneFigures, Measured, load_figures
from pipeline.reports.finetune_json import finetune_json
from tests.builders.finetunings import result

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
STORED: dict[str, Any] = json.loads(json.dumps(finetune_json(result())))


def read(finished: FinetuneResult, **changed: Any) -> FinetuneFigures:
    return load_figures(json.loads(json.dumps(finetune_json(finished))) | changed)


def test_the_baseline_has_the_name_of_its_scorer() -> None:
    assert Baseline.name == BASELINE


def test_written_figures_are_read_back() -> None:
    finished = result(completed=1)
    figures, judgement = read(finished), finished.judgement
    adapter, baseline = (judgement.row(name) for name in (ADAPTER, BASELINE))
    assert adapter is not None
    assert baseline is not None
    assert adapter.against_baseline is not None
    quality, against = adapter.quality, adapter.against_baseline
    assert figures.outcome == judgement.outcome
    assert figures.adapter == Measured(quality.rho, quality.rho_low, quality.rho_high)
    assert figures.baseline.value == baseline.quality.rho
    assert figures.delta == Measured(against.delta, against.low, against.high)
    assert (figures.n, figures.positives, figures.prevalence) == (300, 60, 0.2)
    assert [scorer.name for scorer in figures.scorers] == [row.name for row in judgement.rows]
    assert figures.beats_best_cheap is judgement.beats_best_cheap
    assert (figures.seeds_planned, figures.seeds_completed, figures.fewer_seeds) == ((1, 2), (1,), True)
    assert (figures.train_start, figures.eval_start, figures.as_of) == ("2017-07-14", "2019-06-08", "2020-05-20")
    assert figures.curves[0].losses == finished.runs[0].fit.losses
    assert figures.curves[0].validation_rhos == finished.runs[0].fit.validations
    assert figures.shortened


def test_the_stored_figures_select_the_same_ranker_as_the_result(subtests: pytest.Subtests) -> None:
    for strength in (0.0, 0.5, 3.0):
        for control in ("", "shuffled labels"):
            with subtests.test(strength=strength, control=control):
                finished = result(strength=strength, control=control)
                assert read(finished).best == ranker_after(finished)


def test_the_blend_ranks_only_with_a_higher_rho(subtests: pytest.Subtests) -> None:
    cases: list[tuple[object, str]] = [
        (0.8, "blend"),
        (0.5, "adapter"),
        (0.4, "adapter"),
        (None, "adapter"),
        ("much", "adapter"),
    ]
    for blend, best in cases:
        with subtests.test(blend=blend, best=best):
            values = {"outcome": "WIN", "rho_adapter": 0.5, "scorers": {BLEND: {"rho": blend}}}
            assert load_figures(values).best == best


def test_wins_and_losses_are_conclusive() -> None:
    cases: list[tuple[dict[str, object], bool]] = [
        ({"outcome": "WIN"}, True),
        ({"outcome": "HARD LOSS"}, True),
        ({"outcome": "INCONCLUSIVE"}, False),
        ({"outcome": "DRAW"}, False),
        ({"outcome": "WIN", "control": "shuffled labels"}, False),
        ({}, False),
    ]
    wrong = [
        (values, got, conclusive)
        for values, conclusive in cases
        if (got := load_figures(values).conclusive) is not conclusive
    ]
    assert wrong == []


def test_an_invalid_correlation_is_absent(subtests: pytest.Subtests) -> None:
    values: tuple[object, ...] = (math.nan, math.inf, 3.0, "0.5", True, None, [], 10**400)
    for value in values:
        with subtests.test(value=value):
            assert load_figures({"rho_adapter": value, "delta": value}).adapter.value is None
            assert load_figures({"delta": value}).delta.value is None


@given(ANYTHING)
def test_any_value_can_be_read(value: object) -> None:
    figures = load_figures(value)
    assert figures.best == "baseline" or figures.outcome == "WIN"


@given(st.sampled_from(sorted(STORED)), ANYTHING)
def test_a_damaged_field_does_not_affect_the_others(name: str, value: object) -> None:
    figures = load_figures({**STORED, name: value})
    if name not in ("n", "positives"):
        assert (figures.n, figures.positives) == (300, 60)


def test_texts_and_lists_are_bounded() -> None:
    figures = load_figures(
        {
            "reason": "x" * 10_000,
            "notes": ["n" * 10_000] * 1_000,
            "scorers": {f"s{n}" * 1_000: {} for n in range(1_000)},
            "curves": {str(n): {"losses": [[step, 1.0] for step in range(10_000)]} for n in range(1_000)},
        }
    )
    assert len(figures.reason) == len(figures.notes[0]) == 500
    assert (len(figures.notes), len(figures.scorers), len(figures.curves)) == (20, 40, 20)
    assert len(figures.curves[0].losses) == 5_000
