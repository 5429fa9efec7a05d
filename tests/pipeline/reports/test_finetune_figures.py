"""A stored result is read back as it was, and whatever else stands there does no harm."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline.finetuning.refit_result import ranker_after

from pipeline.finetuning import comparison
from pipeline.finetuning.result import FinetuneResult
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


def test_the_names_of_rankings_are_those_of_the_judgement() -> None:
    assert (ADAPTER, BLEND) == (comparison.ADAPTER, comparison.BLEND)
    assert Baseline.name == BASELINE


def test_what_was_written_is_read_back() -> None:
    finished = result(completed=1)
    figures, judged = read(finished), finished.judgement
    adapter, baseline = (judged.row(name) for name in (ADAPTER, BASELINE))
    assert adapter is not None
    assert baseline is not None
    assert adapter.against_baseline is not None
    quality, against = adapter.quality, adapter.against_baseline
    assert figures.outcome == judged.outcome
    assert figures.adapter == Measured(quality.rho, quality.rho_low, quality.rho_high)
    assert figures.baseline.value == baseline.quality.rho
    assert figures.delta == Measured(against.delta, against.low, against.high)
    assert (figures.n, figures.positives, figures.prevalence) == (300, 60, 0.2)
    assert [scorer.name for scorer in figures.scorers] == [row.name for row in judged.rows]
    assert figures.beats_best_cheap is judged.beats_best_cheap
    assert (figures.seeds_planned, figures.seeds_completed, figures.fewer_seeds) == ((1, 2), (1,), True)
    assert (figures.train_start, figures.eval_start, figures.as_of) == ("2017-07-14", "2019-06-08", "2020-05-20")
    assert figures.curves[0].losses == finished.runs[0].fit.losses
    assert figures.curves[0].validation_rhos == finished.runs[0].fit.validations
    assert figures.shortened


@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("control", ["", "shuffled labels"])
def test_what_ranks_from_now_on_is_what_the_pipeline_says(strength: float, control: str) -> None:
    finished = result(strength=strength, control=control)
    assert read(finished).best == ranker_after(finished)


@pytest.mark.parametrize(
    ("blend", "best"), [(0.8, "blend"), (0.5, "adapter"), (0.4, "adapter"), (None, "adapter"), ("much", "adapter")]
)
def test_the_blend_ranks_where_it_is_better_for_certain(blend: object, best: str) -> None:
    said = {"outcome": "WIN", "rho_adapter": 0.5, "scorers": {BLEND: {"rho": blend}}}
    assert load_figures(said).best == best


@pytest.mark.parametrize(
    ("said", "conclusive"),
    [
        ({"outcome": "WIN"}, True),
        ({"outcome": "HARD LOSS"}, True),
        ({"outcome": "INCONCLUSIVE"}, False),
        ({"outcome": "DRAW"}, False),
        ({"outcome": "WIN", "control": "shuffled labels"}, False),
        ({}, False),
    ],
)
def test_what_counts_as_an_answer(said: dict[str, object], conclusive: bool) -> None:
    assert load_figures(said).conclusive is conclusive


@pytest.mark.parametrize("value", [math.nan, math.inf, 3.0, "0.5", True, None, [], 10**400])
def test_a_correlation_that_is_none_is_not_there(value: object) -> None:
    assert load_figures({"rho_adapter": value, "delta": value}).adapter.value is None
    assert load_figures({"delta": value}).delta.value is None


@given(ANYTHING)
def test_anything_at_all_is_read(value: object) -> None:
    figures = load_figures(value)
    assert figures.best == "baseline" or figures.outcome == "WIN"


@given(st.sampled_from(sorted(STORED)), ANYTHING)
def test_one_field_that_is_spoilt_spoils_no_other(name: str, value: object) -> None:
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
