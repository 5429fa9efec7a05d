"""The deterministic baseline: a sum of logarithms with fixed weights, the same for every repository.

A term is weight × ln(1 + min(value, cap)). The logarithm reflects diminishing returns (a tenth fix says less than a
second); the cap keeps one enormous function or busy file from outweighing everything else. docs/concepts/ranking.md
explains the terms and how the weights were chosen. Files have a separate sum (pipeline/ranking/files.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.mining.process_metrics import HALF_LIFE_DAYS, LOOK_BACK_DAYS
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject


@dataclass(frozen=True)
class Term:
    """One weighted term of the sum."""

    name: str
    weight: float
    cap: float
    value: Callable[[Subject], float]

    def of(self, subject: Subject) -> float:
        return self.weight * math.log1p(min(self.value(subject), self.cap))


def recency(subject: Subject) -> float:
    """Return 1 for a function touched just now, halving every 180 days; 0 without a touch in 730 days."""
    days = subject.process.days_since_touch
    return 0.0 if days is None else 0.5 ** (days / HALF_LIFE_DAYS)


def youth(subject: Subject) -> float:
    """Return 1 for a function born just now, falling linearly to 0 at an age of 730 days."""
    age = subject.process.age_days
    return 0.0 if age is None else max(0.0, 1 - age / LOOK_BACK_DAYS)


TERMS = (
    Term("lines", 2.0, 1_000, lambda s: s.metrics.lines),
    Term("cyclomatic complexity", 1.0, 200, lambda s: s.metrics.cyclomatic_complexity or 0),
    Term("fan-out", 1.0, 200, lambda s: s.metrics.fan_out or 0),
    Term("recency of the last touch", 3.0, 1, recency),
    Term("fixes in 730 days", 2.0, 50, lambda s: s.process.fixes),
    Term("youth", 2.0, 1, youth),
)

_MIN_REPORTED_COMPLEXITY, _MIN_REPORTED_LINES = 5, 30


class Baseline:
    """The baseline scorer; learns nothing, so the score of a function depends on that function alone."""

    name = "baseline"

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Do nothing: there is nothing to learn."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return np.array([math.fsum(term.of(subject) for term in TERMS) for subject in functions], dtype=np.float64)


def reasons(subject: Subject) -> tuple[str, ...]:
    """Return the reasons for a function's rank in words: its history first, then its structure."""
    process, metrics = subject.process, subject.metrics
    texts = []
    if process.touches:
        texts.append(f"touched {times(process.touches)} in a year by {people(process.authors)}")
    if process.fixes:
        texts.append(fixes(process.fixes))
    elif process.file_fixes:
        texts.append(f"{fixes(process.file_fixes)} elsewhere in its file")
    if (metrics.cyclomatic_complexity or 0) >= _MIN_REPORTED_COMPLEXITY:
        texts.append(f"complexity {metrics.cyclomatic_complexity}")
    if metrics.lines >= _MIN_REPORTED_LINES or not texts:
        texts.append(f"{metrics.lines:,} lines")
    return tuple(texts)


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def people(count: int) -> str:
    return "one person" if count == 1 else f"{count:,} people"


def fixes(count: int) -> str:
    return f"{count:,} {'fix' if count == 1 else 'fixes'} in two years"
