"""The deterministic baseline: a sum of logarithms with fixed weights, the same for every repository.

A term is weight × ln(1 + min(value, cap)). The logarithm, because the tenth fix says less than the second; the cap,
so that one enormous function or one busy file does not outweigh all else. docs/concepts/ranking.md explains the terms
and how the weights were chosen; files have a sum of their own (pipeline/ranking/files.py).
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
    """One part of the sum."""

    name: str
    weight: float
    cap: float
    value: Callable[[Subject], float]

    def of(self, subject: Subject) -> float:
        return self.weight * math.log1p(min(self.value(subject), self.cap))


def recency(subject: Subject) -> float:
    """1 for a function that was touched just now, halved every 180 days since, 0 without a touch in 730 days."""
    days = subject.process.days_since_touch
    return 0.0 if days is None else 0.5 ** (days / HALF_LIFE_DAYS)


def youth(subject: Subject) -> float:
    """1 for a function that was born just now, falling evenly to 0 for one that is 730 days old, or older."""
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

_WORTH_SAYING = {"complexity": 5, "lines": 30}


class Baseline:
    """Learns nothing: what it says of a function depends on that function alone."""

    name = "baseline"

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Nothing to learn."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return np.array([math.fsum(term.of(subject) for term in TERMS) for subject in functions], dtype=np.float64)


def reasons(subject: Subject) -> tuple[str, ...]:
    """Why a function stands where it stands, in words: what happened to it first, then what it is like."""
    process, metrics = subject.process, subject.metrics
    said = []
    if process.touches:
        said.append(f"touched {times(process.touches)} in a year by {people(process.authors)}")
    if process.fixes:
        said.append(fixes(process.fixes))
    elif process.file_fixes:
        said.append(f"{fixes(process.file_fixes)} elsewhere in its file")
    if (metrics.cyclomatic_complexity or 0) >= _WORTH_SAYING["complexity"]:
        said.append(f"complexity {metrics.cyclomatic_complexity}")
    if metrics.lines >= _WORTH_SAYING["lines"] or not said:
        said.append(f"{metrics.lines:,} lines")
    return tuple(said)


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def people(count: int) -> str:
    return "one person" if count == 1 else f"{count:,} people"


def fixes(count: int) -> str:
    return f"{count:,} {'fix' if count == 1 else 'fixes'} in two years"
