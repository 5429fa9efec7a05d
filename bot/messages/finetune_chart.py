"""How a run learned, as a few lines of text for a code block: the loss and the validation ρ, a step a line.

Every line carries its numbers before its bar, so that it can be read where a font does not keep columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Final

from pipeline.reports.finetune_figures import Point, SeedCurve
from pipeline.reports.numbers import MINUS, counted, rho

WIDTH: Final = 72  # columns; more makes a phone scroll
_MOST_LINES: Final = 12  # of each curve
_BAR: Final = 40
_MOST_SEEDS: Final = 5  # that are told one by one
_FULL, _BELOW = "#", "-"


def draw_curves(curves: Sequence[SeedCurve]) -> list[str]:
    """Lines of at most 72 columns; none where nothing was trained. Several seeds are averaged."""
    losses = _averaged([curve.losses for curve in curves])
    rhos = _averaged([curve.validation_rhos for curve in curves])
    parts = []
    if losses:
        parts.append(["loss (less is better)", *_bars(losses)])
    if rhos:
        parts.append(["validation ρ (more is better), on labels not trained on", *_bars(rhos)])
    if not parts:
        return []
    if chosen := _chosen(curves):
        parts.append(chosen)
    return [line[:WIDTH] for line in _parted(parts)]


def _parted(parts: Iterable[list[str]]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        lines += ["", *part] if lines else part
    return lines


def _averaged(curves: Sequence[Sequence[Point]]) -> list[tuple[int, float]]:
    """The mean over the seeds in at most so many stretches of steps, each by its last step."""
    points = sorted(point for curve in curves for point in curve)
    if not points:
        return []
    steps = sorted({step for step, _ in points})
    per_line = -(-len(steps) // _MOST_LINES)
    stretches = [steps[start : start + per_line] for start in range(0, len(steps), per_line)]
    return [
        (stretch[-1], fmean(value for step, value in points if stretch[0] <= step <= stretch[-1]))
        for stretch in stretches
    ]


def _bars(points: Sequence[tuple[int, float]]) -> list[str]:
    """A bar from zero: `#` above it, `-` below."""
    longest = max(abs(value) for _, value in points) or 1.0
    widest = max(len(f"{step:,}") for step, _ in points)
    texts = [_short(value) for _, value in points]
    wide = max(map(len, texts))
    return [
        f"step {step:>{widest},}  {text:>{wide}}  {_bar(value, longest)}".rstrip()
        for (step, value), text in zip(points, texts, strict=True)
    ]


def _short(value: float) -> str:
    return rho(value) if abs(value) < 10_000 else f"{value:.1e}".replace("-", MINUS)


def _bar(value: float, longest: float) -> str:
    return (_FULL if value >= 0 else _BELOW) * round(_BAR * abs(value) / longest)


def _chosen(curves: Sequence[SeedCurve]) -> list[str]:
    """The number of steps that each seed was then trained for on all labels."""
    known = [curve for curve in curves if curve.chosen_steps is not None]
    lines = [
        f"seed {curve.seed[:12]}: {curve.chosen_steps:,}{_of(curve.planned_steps)} steps chosen"
        for curve in known[:_MOST_SEEDS]
    ]
    more = len(known) - _MOST_SEEDS
    return [*lines, f"{counted(more, 'more seed')}"] if more > 0 else lines


def _of(planned: int | None) -> str:
    return "" if planned is None else f" of {planned:,}"
