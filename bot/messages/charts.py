"""Where a repository stands among the outcomes, as a few lines of text for a code block."""

from __future__ import annotations

from pipeline.records import Density, Standing, Threshold
from pipeline.reports import numbers
from pipeline.reports.plots import DensityAxis, density_axis

WIDTH = 72  # columns; more makes a phone scroll
_LABEL = 13
_COLUMNS = WIDTH - _LABEL - 4  # the last tick's label may stand out to the right
_BAND, _THRESHOLD, _OUTCOME, _HERE = "░", "│", "o", "#"


def draw_chart(density: Density | None, threshold: Threshold, standing: Standing) -> list[str]:
    """Who won above, this repository with its interval between, who did not win below, on one logarithmic axis."""
    axis = density_axis("", density, threshold, standing)
    rows = [_line("won", _outcomes(axis, "winner")), _line("did not win", _outcomes(axis, "loser"))]
    if density is not None:
        rows.insert(1, _line("this one", _own(axis)))
    scale, labels = _scale(axis)
    band = f"{_BAND} too close to call, {numbers.interval(threshold.band_low, threshold.band_high)}"
    legend = f"{_THRESHOLD} threshold {numbers.density(threshold.value)}   {band}"
    beyond = [_line("", f"{axis.unnamed:,} outcomes further from the threshold are not shown")] if axis.unnamed else []
    return [*rows, _line("density", scale), _line("", labels), "", _line("", legend), *beyond]


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}".rstrip()[:WIDTH]


def _at(position: float) -> int:
    return round(position * (_COLUMNS - 1))


def _blank(axis: DensityAxis) -> list[str]:
    cells = [" "] * _COLUMNS
    low, high = (_at(end) for end in axis.band)
    cells[low : high + 1] = _BAND * (high + 1 - low)
    cells[_at(axis.threshold)] = _THRESHOLD
    return cells


def _outcomes(axis: DensityAxis, mark: str) -> str:
    cells = _blank(axis)
    for row in axis.rows:
        if row.mark == mark:
            cells[_at(row.at)] = _OUTCOME
    return "".join(cells)


def _own(axis: DensityAxis) -> str:
    cells = _blank(axis)
    for row in axis.rows:
        if row.mark == "here":
            low, high = _at(row.left), _at(row.right)
            cells[low : high + 1] = ["┼" if cell == _THRESHOLD else "─" for cell in cells[low : high + 1]]
            cells[low], cells[high] = "├", "┤"
            cells[_at(row.at)] = _HERE
    return "".join(cells)


def _scale(axis: DensityAxis) -> tuple[str, str]:
    """The axis and the numbers under it; a number that would touch the one before is left out."""
    cells, labels = ["─"] * _COLUMNS, ""
    for tick in axis.ticks:
        cells[_at(tick.at)] = "┴"
        start = max(0, _at(tick.at) - len(tick.label) // 2)
        if not labels or start > len(labels):
            labels = labels.ljust(start) + tick.label
    return "".join(cells), labels
