"""Every history has an evaluation: figures with their n, or the reason why there are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.label_recipe import MESSAGES
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import Signal
from pipeline.ranking.dataset import Dataset
from pipeline.ranking.evaluate import BASELINE, Evaluation, Table, evaluate
from pipeline.ranking.holdout import Place
from pipeline.ranking.scorer import Subject
from pipeline.ranking.statistics import assess
from pipeline.records import Mined, Windows
from tests.builders.history import History
from tests.pipeline.ranking.subjects import dataset_of, long_history, subject
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

WINDOWS = Windows(0, 730 * 86_400, 1_095 * 86_400, 730.0, 365.0, 2_000.0, False, False)
MINED = Mined("acme/shop", "0" * 40, WINDOWS, 1, 1, 1, 1, (), (), (), frozenset(), (), (), ())


def made_up(count: int = 600, files: int = 60, seed: int = 1) -> Dataset:
    """Functions whose risk follows their size and their past, half of them held out."""
    random = np.random.default_rng(seed)
    risk = random.random(count)
    functions = tuple(
        subject(
            f"m{i % files:03}.py",
            f"f{i}",
            lines=3 + int(60 * (r + random.random())),
            touches=int(8 * r * random.random()),
            file_decayed_touches=float((i % files) / files),
        )
        for i, r in enumerate(risk)
    )
    labels = np.where(random.random(count) < risk**2, 0.7, 0.0)
    places = tuple(Place(i, "holdout" if i % 2 else "train") for i in range(count))
    return Dataset(MINED, functions, labels, places, functions, labels, places, tuple(range(count)))


def names(table: Table) -> list[str]:
    return [row.name for row in table.rows]


class Given:
    """A scorer that returns given scores."""

    def __init__(self, name: str, scores: Sequence[float] | Floats) -> None:
        self.name = name
        self._scores = np.asarray(scores, dtype=np.float64)
        self.fitted_on: list[tuple[list[Subject], list[float]]] = []

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        self.fitted_on.append((list(functions), signals.tolist()))

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return self._scores


def test_every_scorer_is_evaluated_on_the_same_functions_with_the_baseline_first() -> None:
    evaluation = evaluate(made_up(), MESSAGES)
    assert evaluation.conclusive
    assert names(evaluation.functions) == [
        "baseline",
        "size",
        "decayed touches",
        "past fixes",
        "gradient-boosted trees",
        "blend of trees and baseline",
    ]
    assert names(evaluation.files)[:4] == ["baseline", "size", "decayed touches", "past fixes"]
    assert (evaluation.functions.n, evaluation.files.n) == (300, 60)
    assert {row.quality.n for row in evaluation.functions.rows} == {300}
    assert [row.against_baseline is None for row in evaluation.functions.rows] == [True] + [False] * 5


def test_the_figures_are_computed_on_the_held_out_functions_alone() -> None:
    dataset = made_up()
    held = dataset.held_out
    expected = assess(
        {BASELINE: Baseline().predict(dataset.evaluated)[held]},
        dataset.labels[held],
        [dataset.evaluated[i].path for i in held],
        [dataset.evaluated[i].metrics.lines for i in held],
    )[BASELINE]
    found = evaluate(dataset, MESSAGES, ()).functions.rows[0].quality
    assert (found.rho, found.rho_low, found.auc, found.precision_at_10, found.recall_at_20_percent) == (
        expected.rho, expected.rho_low, expected.auc, expected.precision_at_10, expected.recall_at_20_percent
    )  # fmt: skip


def test_a_scorer_is_fitted_on_the_training_functions_alone() -> None:
    dataset = made_up()
    scorer = Given("mine", np.arange(600.0))
    evaluate(dataset, MESSAGES, (scorer,))
    ((functions, signals),) = scorer.fitted_on
    assert [f.qualified_name for f in functions] == [f"f{i}" for i in range(0, 600, 2)]
    assert signals == dataset.train_signals[::2].tolist()


def test_an_oracle_beats_the_baseline_and_noise_does_not() -> None:
    dataset = made_up()
    random = np.random.default_rng(9).random(600)
    rows = evaluate(dataset, MESSAGES, (Given("knows", dataset.labels + random / 10), Given("guesses", random)))
    _, knows, guesses = rows.functions.rows
    assert knows.against_baseline is not None
    assert guesses.against_baseline is not None
    assert knows.against_baseline.low is not None
    assert guesses.against_baseline.high is not None
    assert knows.against_baseline.low > 0 > guesses.against_baseline.high
    assert knows.against_baseline.win_share == 1.0


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.full(600, np.nan), "300 of 300 scores are not numbers"),
        (np.where(np.arange(600) == 7, np.nan, np.arange(600.0)), "1 of 300 scores are not numbers"),
        (np.where(np.arange(600) == 7, np.inf, np.arange(600.0)), "1 of 300 scores are not numbers"),
        (np.zeros(600), "all 300 scores are equal: no ranking"),
    ],
)
def test_a_scorer_without_a_ranking_does_not_affect_the_others(scores: Floats, reason: str) -> None:
    evaluation = evaluate(made_up(), MESSAGES, (Given("broken", scores), Signal("size", lambda s: s.metrics.lines)))
    broken, size = evaluation.functions.rows[1:]
    assert (broken.quality.rho, broken.quality.n, broken.quality.reason) == (None, 300, reason)
    assert broken.against_baseline is not None
    assert (broken.against_baseline.delta, broken.against_baseline.reason) == (None, reason)
    assert size.quality.rho is not None
    assert evaluation.conclusive


def test_too_few_functions_or_fixes_are_reported_with_what_is_needed() -> None:
    few = evaluate(made_up(100, 20), MESSAGES, ())
    assert few.reasons[0] == "50 held-out functions: at least 200 are needed, about 500 functions in all"
    assert few.functions.rows[0].quality.rho is not None
    dataset = made_up()
    unfixed = dataclasses.replace(dataset, labels=np.zeros(600))
    assert evaluate(unfixed, MESSAGES, ()).reasons == (
        "0 of the held-out functions were fixed in the 365 days of the horizon: at least 20 are needed; only commits "
        "whose message names a fix (`fix: ...`) count",
        "baseline: none of the 300 held-out functions was fixed: nothing to find",
    )


def test_duplicate_scorer_names_and_a_wrong_number_of_scores_are_errors() -> None:
    with pytest.raises(ValueError, match="two scorers are named 'baseline'"):
        evaluate(made_up(), MESSAGES, (Given("baseline", np.zeros(600)),))
    with pytest.raises(ValueError, match="mine returned"):
        evaluate(made_up(), MESSAGES, (Given("mine", np.zeros(5)),))


def test_an_empty_dataset_is_inconclusive() -> None:
    empty = Dataset(MINED, (), np.zeros(0), (), (), np.zeros(0), (), ())
    evaluation = evaluate(empty, MESSAGES)
    assert not evaluation.conclusive
    assert (evaluation.functions.n, evaluation.files.n, evaluation.functions.rho_max) == (0, 0, None)


# -- from histories


def of_history(history: History) -> Evaluation:
    return evaluate(dataset_of(history), MESSAGES)


def test_a_history_is_evaluated_end_to_end() -> None:
    evaluation = of_history(long_history([*BEFORE, *TRAINING, *HORIZON]))
    assert evaluation.functions.n == 32
    assert evaluation.learned_from == 48
    assert evaluation.functions.positives > 0
    assert all(row.quality.rho is not None for row in evaluation.functions.rows)
    assert evaluation.reasons[0].startswith("32 held-out functions: ")


def one_commit() -> History:
    history = History()
    history.commit("start", {"a.py": "def f(x):\n    y = x\n    return y\n"})
    return history


def no_code() -> History:
    history = History()
    history.commit("start", {"README": "x"}, day=0)
    history.commit("end", {"README": "y"}, day=1643)
    return history


def young() -> History:
    history = History()
    for day in range(0, 90, 10):
        history.commit("fix: it", {"a.py": f"def f(x):\n    y = x + {day}\n    return y\n"}, day=day)
    return history


@pytest.mark.parametrize("history", [one_commit(), no_code(), young()])
def test_a_history_with_nothing_to_evaluate_is_inconclusive_with_reasons(history: History) -> None:
    evaluation = of_history(history)
    assert not evaluation.conclusive
    assert all(evaluation.reasons)


def test_a_young_history_is_reported_with_what_is_needed() -> None:
    assert of_history(young()).reasons[0] == "80 days of history leave a training window of 36 days: 180 are needed"


def test_a_subject_has_no_label() -> None:
    known = {field.name for field in dataclasses.fields(Subject)} | set(ProcessMetrics.__dataclass_fields__)
    assert known.isdisjoint({"signal", "label"})
    assert "credit" not in Subject.__dataclass_fields__
