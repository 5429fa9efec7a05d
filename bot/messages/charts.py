"""Text charts for code blocks: a repository among the outcomes, and the training curves of a run.

Training curves print every number before its bar, so that they can be read in a proportional font.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Final

from pipeline.records import Density, Standing, Threshold
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import Point, SeedCurve
from pipeline.reports.plots import DensityAxis, density_axis

WIDTH: Final = 72  # columns; anything wider scrolls sideways on a phone

_LABEL: Final = 13
_COLUMNS: Final = WIDTH - _LABEL - 4  # the label of the last tick may extend to the right
_BAND, _THRESHOLD, _OUTCOME, _HERE = "░", "│", "o", "#"

_MAX_LINES: Final = 12  # of each training curve
_BAR: Final = 40
_MAX_SEEDS: Final = 5  # listed one by one
_POSITIVE, _NEGATIVE = "#", "-"


def draw_density_chart(density: Density | None, threshold: Threshold, standing: Standing) -> list[str]:
    """Return the lines of a logarithmic axis: winners above, this repository with its interval, other outcomes below.

    No line is wider than WIDTH columns.
    """
    axis = density_axis("", density, threshold, standing)
    rows = [_line("won", _outcomes(axis, "winner")), _line("did not win", _outcomes(axis, "loser"))]
    if density is not None:
        rows.insert(1, _line("this one", _own(axis)))
    scale, labels = _scale(axis)
    band = f"{_BAND} too close to call, {numbers.interval(threshold.band_low, threshold.band_high)}"
    legend = f"{_THRESHOLD} threshold {numbers.density(threshold.value)}   {band}"
    hidden = [_line("", f"{axis.unnamed:,} outcomes farther from the threshold not shown")] if axis.unnamed else []
    return [*rows, _line("density", scale), _line("", labels), "", _line("", legend), *hidden]


def draw_training_curves(curves: Sequence[SeedCurve]) -> list[str]:
    """Return the loss and the validation ρ by step, averaged over the seeds; no lines if nothing was trained.

    No line is wider than WIDTH columns.
    """
    losses = _average([curve.losses for curve in curves])
    rhos = _average([curve.validation_rhos for curve in curves])
    parts = []
    if losses:
        parts.append(["loss (lower is better)", *_bars(losses)])
    if rhos:
        parts.append(["validation ρ (higher is better), on labels kept out of training", *_bars(rhos)])
    if not parts:
        return []
    if chosen := _chosen_steps(curves):
        parts.append(chosen)
    return [line[:WIDTH] for line in _separate(parts)]


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}".rstrip()[:WIDTH]


def _column(position: float) -> int:
    return round(position * (_COLUMNS - 1))


def _blank(axis: DensityAxis) -> list[str]:
    cells = [" "] * _COLUMNS
    low, high = (_column(end) for end in axis.band)
    cells[low : high + 1] = _BAND * (high + 1 - low)
    cells[_column(axis.threshold)] = _THRESHOLD
    return cells


def _outcomes(axis: DensityAxis, mark: str) -> str:
    cells = _blank(axis)
    for row in axis.rows:
        if row.mark == mark:
            cells[_column(row.at)] = _OUTCOME
    return "".join(cells)


def _own(axis: DensityAxis) -> str:
    cells = _blank(axis)
    for row in axis.rows:
        if row.mark == "here":
            low, high = _column(row.left), _column(row.right)
            cells[low : high + 1] = ["┼" if cell == _THRESHOLD else "─" for cell in cells[low : high + 1]]
            cells[low], cells[high] = "├", "┤"
            cells[_column(row.at)] = _HERE
    return "".join(cells)


def _scale(axis: DensityAxis) -> tuple[str, str]:
    """Return the axis and its labels, without labels that would touch the one before."""
    cells, labels = ["─"] * _COLUMNS, ""
    for tick in axis.ticks:
        cells[_column(tick.at)] = "┴"
        start = max(0, _column(tick.at) - len(tick.label) // 2)
        if not labels or start > len(labels):
            labels = labels.ljust(start) + tick.label
    return "".join(cells), labels


def _separate(parts: Iterable[list[str]]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        lines += ["", *part] if lines else part
    return lines


def _average(curves: Sequence[Sequence[Point]]) -> list[tuple[int, float]]:
    """Return the mean over the seeds in at most _MAX_LINES ranges of steps, each with its last step."""
    points = sorted(point for curve in curves for point in curve)
    if not points:
        return []
    steps = sorted({step for step, _ in points})
    per_line = -(-len(steps) // _MAX_LINES)
    ranges = [steps[start : start + per_line] for start in range(0, len(steps), per_line)]
    return [(span[-1], fmean(value for step, value in points if span[0] <= step <= span[-1])) for span in ranges]


def _bars(points: Sequence[tuple[int, float]]) -> list[str]:
    largest = max(abs(value) for _, value in points) or 1.0
    step_width = max(len(f"{step:,}") for step, _ in points)
    texts = [_short(value) for _, value in points]
    text_width = max(map(len, texts))
    return [
        f"step {step:>{step_width},}  {text:>{text_width}}  {_bar(value, largest)}".rstrip()
        for (step, value), text in zip(points, texts, strict=True)
    ]


def _short(value: float) -> str:
    return numbers.rho(value) if abs(value) < 10_000 else f"{value:.1e}".replace("-", numbers.MINUS)


def _bar(value: float, largest: float) -> str:
    return (_POSITIVE if value >= 0 else _NEGATIVE) * round(_BAR * abs(value) / largest)


def _chosen_steps(curves: Sequence[SeedCurve]) -> list[str]:
    """Return how many steps each seed was then trained for on all labels."""
    known = [curve for curve in curves if curve.chosen_steps is not None]
    lines = [
        f"seed {curve.seed[:12]}: {curve.chosen_steps:,}{_of(curve.planned_steps)} steps chosen"
        for curve in known[:_MAX_SEEDS]
    ]
    more = len(known) - _MAX_SEEDS
    return [*lines, f"{numbers.counted(more, 'more seed')}"] if more > 0 else lines


def _of(planned: int | None) -> str:
    return "" if planned is None else f" of {planned:,}"
