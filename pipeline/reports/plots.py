"""Where things stand in a plot: values to positions, all horizontal positions as a share of the width from 0 to 1.

Drawn by templates/plots.html.j2 on the page and by screen_text on a terminal. Relative widths let one drawing fit a
wide screen, a phone and paper without its labels shrinking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.records import CountedFix, Density, Standing, Threshold, Windows

MOST_ROWS = 24
_SMALLEST = 1e-9  # a log axis has no zero: what is smaller stands at its left end

Mark = Literal["winner", "loser", "here"]


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis from `low` to `high`, both positive; what lies outside stands at the end."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> LogScale:
        """An axis with some air left and right of all positive values, never narrower than a factor of four."""
        positive = [value for value in values if value > _SMALLEST] or [0.01, 0.1]
        low, high = min(positive) / 1.35, max(positive) * 1.35
        air = max(1.0, math.sqrt(4 * low / high))
        return cls(low / air, high * air)

    def position(self, value: float) -> float:
        if value <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))

    def ticks(self, most: int = 7) -> tuple[float, ...]:
        """Round numbers inside: 1, 2, 5 of each decade where there is room for them, else 1 of each."""
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = tuple(self._rounds(steps))
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]

    def _rounds(self, steps: Sequence[int]) -> Iterable[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for exponent in range(first, last + 1):
            for step in steps:
                value = float(f"{step}e{exponent}")
                if self.low <= value <= self.high:
                    yield value


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One repository on the density axis, on a line of its own so that no label covers another."""

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
        """Whether the name stands left of the mark, where more room is."""
        return (self.left + self.right) / 2 > 0.5


@dataclass(frozen=True, slots=True)
class DensityAxis:
    rows: tuple[Row, ...]  # densest first
    ticks: tuple[Tick, ...]
    threshold: float
    band: tuple[float, float]
    unnamed: int  # outcomes left out because there are more than MOST_ROWS


def density_axis(name: str, density: Density | None, threshold: Threshold, standing: Standing) -> DensityAxis:
    """This repository among the calibration set; of many outcomes only the ones nearest the threshold have a row."""
    outcomes: list[tuple[Mark, str, float]] = [("winner", *winner) for winner in standing.winners]
    outcomes += [("loser", *loser) for loser in standing.losers]
    outcomes.sort(key=lambda outcome: (abs(_log(outcome[2]) - _log(threshold.value)), outcome[1]))
    kept = outcomes[:MOST_ROWS]
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
    return math.log(max(value, _SMALLEST))


@dataclass(frozen=True, slots=True)
class Bar:
    at: float
    width: float
    height: float  # share of the tallest
    count: int
    label: str


def histogram(signals: Iterable[float], bins: int = 10) -> tuple[Bar, ...]:
    """Positive signals by equal bins (0, 0.1], (0.1, 0.2], ..., (0.9, 1]; zeros are for the caller to state."""
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
    """The windows to scale, after a lead of fixed width that stands for all that came before."""

    train_start: float
    eval_start: float
    earlier_days: float
    fixes: tuple[Bar, ...]  # positions are shares of the training window


_LEAD = 0.16


def timeline(windows: Windows, counted: Sequence[CountedFix], slices: int = 24) -> Timeline:
    """Both windows in proportion, and how many counted fixes landed in each slice of the training window."""
    total_s = max(windows.as_of - windows.train_start, 1)
    training_s = max(windows.eval_start - windows.train_start, 1)
    counts = [0] * slices
    for fix in counted:
        into = (fix.landed_at - windows.train_start) / training_s
        counts[min(max(math.ceil(into * slices) - 1, 0), slices - 1)] += 1
    return Timeline(
        train_start=_LEAD,
        eval_start=_LEAD + (1 - _LEAD) * min(1.0, training_s / total_s),
        earlier_days=max(0.0, windows.history_days - windows.window_days - windows.horizon_days),
        fixes=_bars(counts, [f"slice {i + 1} of {slices}" for i in range(slices)]),
    )


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    at: float
    share: float


def mix(shares: dict[str, float]) -> tuple[Part, ...]:
    """Shares of a whole laid end to end, in the order strongest evidence first; unknown kinds come last."""
    order = ("issue", "label", "prefix", "keyword")
    names = [name for name in order if name in shares] + sorted(set(shares) - set(order))
    parts, at = [], 0.0
    for name in names:
        parts.append(Part(name, at, shares[name]))
        at += shares[name]
    return tuple(parts)
