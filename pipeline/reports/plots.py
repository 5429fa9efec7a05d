"""Layout of the plots of a screening: values to horizontal positions from 0 to 1, as shares of the width.

templates/plots.html.j2 draws them on the page and screen_text in a terminal. Relative widths let a plot fit a wide
screen, a phone and paper without shrinking its labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.records import CountedFix, Density, Standing, Threshold, Windows

MAX_ROWS = 24
_MIN_VALUE = 1e-9  # a log axis has no zero; smaller values are at its left end

Mark = Literal["winner", "loser", "here"]


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis from `low` to `high`, both positive; values outside are clamped."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> LogScale:
        """Return an axis with a margin around all positive values, spanning at least a factor of four."""
        positive = [value for value in values if value > _MIN_VALUE] or [0.01, 0.1]
        low, high = min(positive) / 1.35, max(positive) * 1.35
        margin = max(1.0, math.sqrt(4 * low / high))
        return cls(low / margin, high * margin)

    def position(self, value: float) -> float:
        """Return the position of a value, from 0 to 1."""
        if value <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))

    def ticks(self, max_ticks: int = 7) -> tuple[float, ...]:
        """Return round numbers on the axis: 1, 2, 5 of each decade if they fit, else fewer."""
        for steps in ((1, 2, 5), (1, 3), (1,)):
            values = tuple(self._round_numbers(steps))
            if len(values) <= max_ticks:
                return values
        return values[:: math.ceil(len(values) / max_ticks)]

    def _round_numbers(self, steps: Sequence[int]) -> Iterable[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for exponent in range(first, last + 1):
            for step in steps:
                value = float(f"{step}e{exponent}")
                if self.low <= value <= self.high:
                    yield value


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One repository on the density axis, on a row of its own so that labels do not overlap."""

    mark: Mark
    name: str
    value: float
    at: float
    low: float | None = None  # the interval, as positions
    high: float | None = None

    @property
    def left(self) -> float:
        return self.at if self.low is None else self.low

    @property
    def right(self) -> float:
        return self.at if self.high is None else self.high

    @property
    def label_left(self) -> bool:
        """Whether the name goes to the left of the mark because there is more room."""
        return (self.left + self.right) / 2 > 0.5


@dataclass(frozen=True, slots=True)
class DensityAxis:
    """Repositories, threshold and band on one logarithmic density axis."""

    rows: tuple[Row, ...]  # densest first
    ticks: tuple[Tick, ...]
    threshold: float
    band: tuple[float, float]
    unnamed: int  # outcomes omitted beyond MAX_ROWS


def density_axis(name: str, density: Density | None, threshold: Threshold, standing: Standing) -> DensityAxis:
    """Lay out this repository among the calibration set, limited to the outcomes nearest the threshold."""
    outcomes: list[tuple[Mark, str, float]] = [("winner", *winner) for winner in standing.winners]
    outcomes += [("loser", *loser) for loser in standing.losers]
    outcomes.sort(key=lambda outcome: (abs(_log(outcome[2]) - _log(threshold.value)), outcome[1]))
    kept = outcomes[:MAX_ROWS]
    own = [density.value, density.low, density.high] if density else []
    scale = LogScale.around([value for _, _, value in kept] + own + [threshold.band_low, threshold.band_high])
    rows = [Row(mark, repo, value, scale.position(value)) for mark, repo, value in kept]
    if density:
        low, high = scale.position(density.low), scale.position(density.high)
        rows.append(Row("here", name, density.value, scale.position(density.value), low, high))
    rows.sort(key=lambda row: (-row.value, row.name))
    return DensityAxis(
        rows=tuple(rows),
        ticks=tuple(Tick(scale.position(value), f"{value:g}") for value in scale.ticks()),
        threshold=scale.position(threshold.value),
        band=(scale.position(threshold.band_low), scale.position(threshold.band_high)),
        unnamed=len(outcomes) - len(kept),
    )


def _log(value: float) -> float:
    return math.log(max(value, _MIN_VALUE))


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram, positioned as shares of width and height."""

    at: float
    width: float
    height: float  # share of the tallest
    count: int
    label: str


def histogram(signals: Iterable[float], bins: int = 10) -> tuple[Bar, ...]:
    """Bin positive signals into (0, 0.1], (0.1, 0.2], ..., (0.9, 1]; zeros are not shown."""
    counts = [0] * bins
    for signal in signals:
        if signal > 0:
            counts[min(bins, math.ceil(round(signal * bins, 9))) - 1] += 1
    return _bars(counts, [f"signal over {i / bins:g} up to {(i + 1) / bins:g}" for i in range(bins)])


def _bars(counts: Sequence[int], labels: Sequence[str]) -> tuple[Bar, ...]:
    tallest, width = max(counts, default=0) or 1, 1 / max(len(counts), 1)
    return tuple(
        Bar(i * width, width, count / tallest, count, label)
        for i, (count, label) in enumerate(zip(counts, labels, strict=True))
    )


@dataclass(frozen=True, slots=True)
class Timeline:
    """The windows to scale, after a stretch of fixed width for everything earlier."""

    train_start: float
    eval_start: float
    earlier_days: float
    fixes: tuple[Bar, ...]  # positions are shares of the training window


_EARLIER_WIDTH = 0.16


def timeline(windows: Windows, counted: Sequence[CountedFix], slices: int = 24) -> Timeline:
    """Lay out both windows in proportion, with the counted fixes per slice of the training window."""
    total_s = max(windows.as_of - windows.train_start, 1)
    training_s = max(windows.eval_start - windows.train_start, 1)
    counts = [0] * slices
    for fix in counted:
        into = (fix.landed_at - windows.train_start) / training_s
        counts[min(max(math.ceil(into * slices) - 1, 0), slices - 1)] += 1
    return Timeline(
        train_start=_EARLIER_WIDTH,
        eval_start=_EARLIER_WIDTH + (1 - _EARLIER_WIDTH) * min(1.0, training_s / total_s),
        earlier_days=max(0.0, windows.history_days - windows.window_days - windows.horizon_days),
        fixes=_bars(counts, [f"slice {i + 1} of {slices}" for i in range(slices)]),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One share of a stacked bar."""

    name: str
    at: float
    share: float


def mix(shares: dict[str, float]) -> tuple[Part, ...]:
    """Stack shares by evidence kind, strongest first, unknown kinds last."""
    order = ("issue", "label", "prefix", "keyword")
    names = [name for name in order if name in shares] + sorted(set(shares) - set(order))
    parts, at = [], 0.0
    for name in names:
        parts.append(Part(name, at, shares[name]))
        at += shares[name]
    return tuple(parts)
