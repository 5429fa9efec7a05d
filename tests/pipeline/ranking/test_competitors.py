from __future__ import annotations

import numpy as np
import pytest

from pipeline.ranking.baseline import Baseline
from pipeline.ranking.competitors import Blend, Signal, Tabular, competitors
from tests.pipeline.ranking.subjects import subject

RANDOM = np.random.default_rng(3)
MANY = [
    subject(
        f"m{i}.py",
        lines=int(RANDOM.integers(3, 200)),
        touches=int(RANDOM.integers(0, 9)),
        days_since_touch=float(RANDOM.integers(0, 700)) if i % 3 else None,
    )
    for i in range(300)
]
BUSY = np.array([min(1.0, s.process.touches / 8) for s in MANY])


def test_a_signal_scores_by_its_number() -> None:
    known = subject(lines=12, decayed_touches=1.5, credit=0.7)
    scores = {rival.name: rival.predict([known]).tolist() for rival in competitors() if isinstance(rival, Signal)}
    assert scores == {"size": [12.0], "decayed touches": [1.5], "past fixes": [0.7]}


def test_the_trees_learn_the_training_signal() -> None:
    trees = Tabular()
    trees.fit(MANY[:200], BUSY[:200])
    scores = trees.predict(MANY[200:])
    assert np.corrcoef(scores, BUSY[200:])[0, 1] > 0.95


def test_the_trees_are_deterministic_and_independent_of_the_order() -> None:
    def predicted(order: np.ndarray) -> list[float]:
        trees = Tabular()
        trees.fit([MANY[i] for i in order], BUSY[order])
        return trees.predict(MANY).tolist()

    once = predicted(np.arange(300))
    assert predicted(np.arange(300)) == once
    assert predicted(np.arange(300)[::-1]) == pytest.approx(once)


@pytest.mark.parametrize("count", [0, 1, 19, 300])
def test_with_nothing_to_learn_all_scores_are_equal(count: int) -> None:
    trees = Tabular()
    trees.fit(MANY[:count], np.zeros(count))
    assert set(trees.predict(MANY)) == {0.0}
    assert len(trees.predict([])) == 0


def test_functions_with_only_a_size_can_be_learned_from() -> None:
    quiet = [subject(f"m{i}.py", lines=3 + i % 50) for i in range(200)]
    trees = Tabular()
    trees.fit(quiet, np.array([float(s.metrics.lines > 40) for s in quiet]))
    scores = trees.predict([subject(lines=4), subject(lines=50)])
    assert scores[0] < scores[1]


def test_fitting_again_discards_the_previous_fit() -> None:
    trees = Tabular()
    trees.fit(MANY, BUSY)
    trees.fit([], np.zeros(0))
    assert set(trees.predict(MANY)) == {0.0}


def test_a_blend_is_the_mean_rank_over_its_parts() -> None:
    blend = Blend("both", (Signal("up", lambda s: s.metrics.lines), Signal("down", lambda s: -s.process.touches)))
    known = [subject(lines=3, touches=5), subject(lines=9, touches=7), subject(lines=20, touches=9)]
    assert blend.predict(known).tolist() == pytest.approx([2 / 3] * 3)
    assert len(blend.predict([])) == 0


def test_a_nan_score_makes_the_blend_nan() -> None:
    blend = Blend("both", (Baseline(), Signal("broken", lambda s: float("nan"))))
    assert np.isnan(blend.predict(MANY[:3])).all()


def test_competitor_names_are_unique_and_none_is_the_baseline() -> None:
    names = [Baseline.name, *(rival.name for rival in competitors())]
    assert len(set(names)) == len(names)
