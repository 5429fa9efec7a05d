from __future__ import annotations

import numpy as np
import pytest

from pipeline.finetuning.comparison import FROZEN, judge, seed_name
from pipeline.finetuning.ranker import ADAPTER, BLEND
from pipeline.finetuning.result import Judgement
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.statistics import rank_average
from tests.builders.finetunings import LINES, PATHS, labels, noisy

CHEAP = {"baseline": noisy(0.3, 100), "decayed touches": noisy(0.8, 102)}


def judge_with(
    *adapters: Floats, cheap: dict[str, Floats] = CHEAP, frozen: Floats | None = None, control: str = ""
) -> Judgement:
    seeds = dict(enumerate(adapters, 1))
    return judge(cheap, labels(), PATHS, LINES, seeds=seeds, frozen=frozen, control=control)


def rho(judgement: Judgement, name: str) -> float:
    row = judgement.row(name)
    assert row is not None
    assert row.quality.rho is not None
    return row.quality.rho


def test_the_official_score_is_the_rank_average_over_the_seeds() -> None:
    one, two = noisy(2.0, 1), noisy(2.0, 2)
    judgement = judge_with(one, 1000 * two)
    row = judgement.row(ADAPTER)
    assert row is not None
    assert row.scores.tolist() == rank_average([one, two]).tolist()
    assert rho(judgement, ADAPTER) > max(rho(judgement, seed_name(seed)) for seed in (1, 2))


def test_a_ranking_that_is_far_better_than_the_baseline_wins_and_the_baseline_is_first() -> None:
    judgement = judge_with(noisy(5.0, 1), frozen=noisy(0.5, 2))
    assert (judgement.outcome, judgement.n, judgement.positives) == ("WIN", 300, 60)
    assert [row.name for row in judgement.rows] == ["baseline", ADAPTER, BLEND, "decayed touches", FROZEN]
    assert judgement.rows[0].against_baseline is None


def test_a_reversed_ranking_is_a_hard_loss() -> None:
    judgement = judge_with(-noisy(5.0, 1))
    assert judgement.outcome == "HARD LOSS"
    assert judgement.beats_best_cheap is False


def test_a_win_that_a_cheap_ranking_would_match_is_reported() -> None:
    judgement = judge_with(noisy(2.0, 1), frozen=noisy(6.0, 2))
    assert (judgement.outcome, judgement.best_cheap, judgement.beats_best_cheap) == ("WIN", FROZEN, False)
    delta = judgement.against_best_cheap.delta
    assert delta == pytest.approx(rho(judgement, ADAPTER) - rho(judgement, FROZEN))


def test_the_blend_of_adapter_and_touches_is_not_a_cheap_ranking() -> None:
    one = noisy(0.2, 1)
    judgement = judge_with(one)
    blend = judgement.row(BLEND)
    assert blend is not None
    assert blend.scores.tolist() == rank_average([rank_average([one]), CHEAP["decayed touches"]]).tolist()
    assert judgement.best_cheap == "decayed touches"


def test_without_touches_the_baseline_is_the_activity() -> None:
    one = noisy(0.2, 1)
    blend = judge_with(one, cheap={"baseline": CHEAP["baseline"]}).row(BLEND)
    assert blend is not None
    assert blend.scores.tolist() == rank_average([rank_average([one]), CHEAP["baseline"]]).tolist()


def test_a_control_run_has_no_outcome_however_well_it_ranks() -> None:
    judgement = judge_with(noisy(5.0, 1), control="shuffled labels")
    assert judgement.outcome == "INCONCLUSIVE"
    assert judgement.reason.startswith("a control run (shuffled labels): ρ 0.")


def test_too_few_held_out_functions_are_inconclusive_but_measured() -> None:
    few = slice(0, 100)
    judgement = judge(
        {name: scores[few] for name, scores in CHEAP.items()}, labels()[few], PATHS[few], LINES[few],
        seeds={1: noisy(5.0, 1)[few]},
    )  # fmt: skip
    assert judgement.outcome == "INCONCLUSIVE"
    assert "100 held-out functions: at least 200 are needed" in judgement.reason
    assert rho(judgement, ADAPTER) > 0.5


def test_equal_scores_are_not_a_ranking() -> None:
    judgement = judge_with(np.zeros(300))
    assert (judgement.outcome, judgement.beats_best_cheap) == ("INCONCLUSIVE", None)
    assert judgement.reason == "all 300 scores are equal: no ranking"
