"""Cheap scorers that a fine-tuned model has to beat: single signals, a tabular model, a blend of ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.mining.process_metrics import LOOK_BACK_DAYS
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Scorer, Subject
from pipeline.ranking.statistics import rank_average

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

TABULAR_SEED = 20_260_101
_MIN_ROWS = 20
_MISSING_AGE_DAYS = 2.0 * LOOK_BACK_DAYS


class Signal:
    """Score a function by a single number, unchanged."""

    def __init__(self, name: str, value: Callable[[Subject], float]) -> None:
        self.name = name
        self._value = value

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Do nothing: there is nothing to learn."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return np.array([self._value(subject) for subject in functions], dtype=np.float64)


class Tabular:
    """Gradient-boosted trees over structure and process metrics (scikit-learn, seeded, fixed size)."""

    name = "gradient-boosted trees"

    def __init__(self) -> None:
        self._model: HistGradientBoostingRegressor | None = None

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Fit the trees; with too few functions or no positive signal, fit nothing and score all functions equally."""
        self._model = None
        if len(functions) >= _MIN_ROWS and signals.any():
            from sklearn.ensemble import HistGradientBoostingRegressor  # slow to import

            model = HistGradientBoostingRegressor(
                learning_rate=0.05,
                max_iter=150,
                max_leaf_nodes=15,
                min_samples_leaf=20,
                l2_regularization=1.0,
                early_stopping=False,
                random_state=TABULAR_SEED,
            )
            self._model = model.fit(_table(functions), signals)

    def predict(self, functions: Sequence[Subject]) -> Floats:
        if self._model is None or not functions:
            return np.zeros(len(functions))
        return np.asarray(self._model.predict(_table(functions)), dtype=np.float64)


class Blend:
    """Score by the mean rank over other scorers."""

    def __init__(self, name: str, parts: Sequence[Scorer]) -> None:
        self.name = name
        self._parts = parts

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        for part in self._parts:
            part.fit(functions, signals)

    def predict(self, functions: Sequence[Subject]) -> Floats:
        if not functions:
            return np.zeros(0)
        return rank_average([part.predict(functions) for part in self._parts])


def competitors() -> tuple[Scorer, ...]:
    """Return new, unfitted competitors."""
    return (
        Signal("size", lambda s: s.metrics.lines),
        Signal("decayed touches", lambda s: s.process.decayed_touches),
        Signal("past fixes", lambda s: s.process.credit),
        Tabular(),
        Blend("blend of trees and baseline", (Tabular(), Baseline())),
    )


def _table(functions: Sequence[Subject]) -> Floats:
    """Return one row per function."""
    return np.array([_row(subject) for subject in functions], dtype=np.float64)


def _row(subject: Subject) -> list[float]:
    """Return numbers only: scikit-learn 1.9 cannot bin an all-missing column, which a quiet history has."""
    m, p = subject.metrics, subject.process
    counted = (
        m.lines, m.cyclomatic_complexity, m.nesting_depth, m.fan_out, m.exits, m.parameters,
        p.touches, p.authors, p.decayed_touches, p.fixes, p.credit,
        p.file_touches, p.file_authors, p.file_decayed_touches, p.file_fixes,
    )  # fmt: skip
    ages = (p.days_since_touch, p.age_days)
    return [
        *(-1.0 if value is None else float(value) for value in counted),
        *(_MISSING_AGE_DAYS if days is None else days for days in ages),
    ]
