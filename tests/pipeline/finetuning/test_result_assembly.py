from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest

from pipeline.finetuning.ranker import ADAPTER, BLEND
from pipeline.finetuning.result import FinetuneResult, SeedSteps
from pipeline.finetuning.result_assembly import ranker_after, winning_run
from pipeline.ranking.evaluate import Row
from pipeline.ranking.statistics import Quality
from pipeline.records import OutcomeKind
from tests.builders.finetunings import result, run
from tests.pipeline.finetuning.ranking_sets import refit_record


def result_with(outcome: OutcomeKind, adapter: float | None, blend: float | None) -> FinetuneResult:
    """Return a result with this outcome and these two ρ only."""
    rows = tuple(
        Row(name, Quality(300, 60, 0.2, rho), None, np.zeros(0)) for name, rho in ((ADAPTER, adapter), (BLEND, blend))
    )
    done = result()
    return dataclasses.replace(done, judgement=dataclasses.replace(done.judgement, outcome=outcome, rows=rows))


def test_after_a_win_the_better_of_adapter_and_blend_ranks_and_otherwise_the_baseline() -> None:
    cases: list[tuple[OutcomeKind, float, float | None, Literal["adapter", "blend", "baseline"]]] = [
        ("WIN", 0.30, 0.31, "blend"),
        ("WIN", 0.30, 0.30, "adapter"),
        ("WIN", 0.30, 0.29, "adapter"),
        ("WIN", 0.30, None, "adapter"),
        ("SOFT LOSS", 0.30, 0.40, "baseline"),
        ("HARD LOSS", -0.10, 0.40, "baseline"),
        ("INCONCLUSIVE", 0.30, 0.40, "baseline"),
    ]
    wrong = [
        (outcome, adapter, blend, got, expected)
        for outcome, adapter, blend, expected in cases
        if (got := ranker_after(result_with(outcome, adapter, blend))) != expected
    ]
    assert wrong == []


def test_without_a_blend_the_adapter_ranks() -> None:
    done = result_with("WIN", 0.3, 0.4)
    rows = done.judgement.rows[:1]
    alone = dataclasses.replace(done, judgement=dataclasses.replace(done.judgement, rows=rows))
    assert ranker_after(alone) == "adapter"


def test_a_winning_run_keeps_what_a_refit_repeats_and_reports() -> None:
    done = result()
    kept = winning_run(done, run_id="run-17", judged_at="2023-09-14T08:00:00Z")
    assert (kept.run_id, kept.judged_at, kept.head_sha) == ("run-17", "2023-09-14T08:00:00Z", "a" * 40)
    assert (kept.recipe_id, kept.pair_set_id, kept.window_s) == (done.recipe_id, "b" * 64, 60_000_000)
    assert kept.steps == (SeedSteps(1, 6, 8), SeedSteps(2, 6, 8))
    assert (kept.metrics.outcome, kept.metrics.n, kept.scorer) == ("WIN", 300, ranker_after(done))


def test_a_seed_without_validation_is_refitted_with_all_steps_that_it_took() -> None:
    plain = run(1, np.zeros(3))
    unvalidated = dataclasses.replace(
        plain, fit=dataclasses.replace(plain.fit, planned_steps=0, steps=0), refit_steps=12
    )
    done = dataclasses.replace(result(), runs=(unvalidated,))
    assert winning_run(done, run_id="1", judged_at="2023-09-14").steps == (SeedSteps(1, 12, 12),)


def test_only_a_win_is_refitted() -> None:
    with pytest.raises(ValueError, match="the outcome is SOFT LOSS"):
        winning_run(result_with("SOFT LOSS", 0.3, 0.4), run_id="1", judged_at="2023-09-14")


def test_the_hashes_are_by_seed() -> None:
    assert refit_record().hashes == {
        1: {"adapter.safetensors": "1" * 64},
        2: {"adapter.safetensors": "2" * 64},
    }
