"""Layout of the plots of an evaluation: scores and labels to positions from 0 to 1. Draws nothing.

Functions of equal score have no order, so curves run in a straight line through each tie group. For counts of functions
that is the mean over all orders; for lines it is how `recall_at_20_percent` is defined.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.ranking.evaluate import Row, Table
from pipeline.reports.plots import Tick

CURVE_STEPS = 200
TENTHS = 10
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_MAX_TICKS = 9


@dataclass(frozen=True, slots=True)
class LinearScale:
    """A linear axis from `low` to `high`; values outside are clamped."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> LinearScale:
        """Return an axis with a margin around all values and 0, at least 0.2 wide."""
        known = [0.0, *values]
        low, high = min(known), max(known)
        margin = 0.06 * (high - low) + max(0.0, 0.2 - (high - low)) / 2
        return cls(low - margin, high + margin)

    def position(self, value: float) -> float:
        """Return the position of a value, from 0 to 1."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self) -> tuple[float, ...]:
        """Return multiples of the finest round step with at most nine of them on the axis."""
        for step in _STEPS:
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            if last - first < _MAX_TICKS:
                break
        return tuple(round(i * step, 9) for i in range(first, last + 1))


@dataclass(frozen=True, slots=True)
class Whisker:
    """ρ of one scorer with its interval as axis positions, or the reason why it has no ranking."""

    name: str
    baseline: bool
    rho: float | None = None
    at: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Whiskers:
    """The intervals of all scorers on one axis of ρ."""

    rows: tuple[Whisker, ...]  # highest ρ first, those without a ranking last
    ticks: tuple[Tick, ...]
    zero: float
    ceiling: float | None  # position of ρ_max


def whiskers(table: Table) -> Whiskers:
    """Lay out every scorer of a table on one axis of ρ."""
    ranking = [row for row in table.rows if row.quality.rho is not None]
    ends = [(row.quality.rho, row.quality.rho_low, row.quality.rho_high) for row in ranking]
    known = [value for row in ends for value in (*row, table.rho_max) if value is not None]
    scale = LinearScale.around(known)

    def at(value: float | None) -> float | None:
        return None if value is None else scale.position(value)

    rows = [
        Whisker(
            name=row.name,
            baseline=row is table.rows[0],
            rho=row.quality.rho,
            at=at(row.quality.rho),
            low=at(row.quality.rho_low),
            high=at(row.quality.rho_high),
            reason=row.quality.reason,
        )
        for row in table.rows
    ]
    rows.sort(key=lambda row: (row.rho is None, -(row.rho or 0.0)))
    ticks = tuple(Tick(scale.position(value), f"{value:g}".replace("-", "−")) for value in scale.ticks())
    return Whiskers(tuple(rows), ticks, scale.position(0.0), at(table.rho_max) if ranking else None)


@dataclass(frozen=True, slots=True)
class CumulativeGains:
    """Cumulative positives when inspecting from the best score down, at each boundary between tie groups."""

    inspected: tuple[float, ...]  # ascending from 0
    found: tuple[float, ...]

    def at(self, inspected: float) -> float:
        """Return the positives found after inspecting that much, interpolated linearly."""
        begin = bisect_right(self.inspected, inspected) - 1
        if begin + 1 == len(self.inspected):
            return self.found[-1]
        part = (inspected - self.inspected[begin]) / (self.inspected[begin + 1] - self.inspected[begin])
        return self.found[begin] + part * (self.found[begin + 1] - self.found[begin])


def cumulative_gains(scores: Sequence[float], sizes: Sequence[float], positive: Sequence[bool]) -> CumulativeGains:
    """Accumulate positives against size inspected, highest score first. Raises ValueError for a non-finite score."""
    if not all(math.isfinite(score) for score in scores):
        raise ValueError("a score is not a number")
    inspected, found = [0.0], [0.0]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    for rank, i in enumerate(order):
        if not rank or scores[i] != scores[order[rank - 1]]:
            inspected.append(inspected[-1])
            found.append(found[-1])
        inspected[-1] += sizes[i]
        found[-1] += positive[i]
    return CumulativeGains(tuple(inspected), tuple(found))


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall after each of `CURVE_STEPS` equal shares of the lines, starting at 0."""

    name: str
    recalls: tuple[float, ...]

    @property
    def at_20_percent(self) -> float:
        """Recall after the first 20 % of the lines."""
        return self.recalls[CURVE_STEPS // 5]


def recall_curves(table: Table) -> tuple[Curve, ...]:
    """Return a curve per scorer with a ranking, in table order; empty without lines or positives."""
    positive = [label > 0 for label in table.labels.tolist()]
    if not any(positive) or not sum(table.lines):
        return ()
    return tuple(
        _curve(row.name, row.scores.tolist(), table.lines, positive)
        for row in table.rows
        if row.quality.rho is not None
    )


def best_possible(table: Table) -> Curve | None:
    """Return the curve of an oracle that inspects all positives first, shortest first."""
    positive = [label > 0 for label in table.labels.tolist()]
    if not any(positive) or not sum(table.lines):
        return None
    last = -max(table.lines) - 1.0
    scores = [-float(lines) if fixed else last for lines, fixed in zip(table.lines, positive, strict=True)]
    return _curve("best possible", scores, table.lines, positive)


def _curve(name: str, scores: Sequence[float], lines: Sequence[int], positive: Sequence[bool]) -> Curve:
    found, total, all_lines = cumulative_gains(scores, lines, positive), sum(positive), sum(lines)
    return Curve(name, tuple(found.at(i / CURVE_STEPS * all_lines) / total for i in range(CURVE_STEPS + 1)))


@dataclass(frozen=True, slots=True)
class Tenths:
    """Rate of positives in each tenth of the functions, highest scores first."""

    name: str
    rates: tuple[float, ...]


def rates_by_tenth(row: Row, labels: Sequence[float]) -> Tenths:
    """Return the rate of positives per tenth of n/10 functions, splitting functions on a border. Needs n ≥ 1."""
    found = cumulative_gains(row.scores.tolist(), [1.0] * len(labels), [label > 0 for label in labels])
    size = len(labels) / TENTHS
    upto = [found.at(i * size) for i in range(TENTHS + 1)]
    return Tenths(row.name, tuple((upto[i + 1] - upto[i]) / size for i in range(TENTHS)))


def compared_by_tenth(table: Table) -> tuple[Tenths, ...]:
    """Return the tenths of the baseline and of the other scorer with the highest ρ, where they have a ranking."""
    baseline, *others = table.rows
    ranking = [row for row in others if row.quality.rho is not None]
    best = max(ranking, key=lambda row: row.quality.rho or 0.0, default=None)
    shown = [row for row in (baseline, best) if row is not None and row.quality.rho is not None]
    return tuple(rates_by_tenth(row, table.labels.tolist()) for row in shown)
