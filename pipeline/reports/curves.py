"""Render the files beside the adapters of a run: result.json, and curves.png with losses, validations and rankings.

The colours are those of Okabe and Ito, "Color Universal Design" (2008), which remain distinct with any kind of colour
blindness; each seed also has its own line style and marker, so that a grey print is enough.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.finetuning.ranker import ADAPTER, BLEND
from pipeline.finetuning.result import Curve, FinetuneResult, SeedRun
from pipeline.ranking.evaluate import BASELINE, Row
from pipeline.reports.escape import inert
from pipeline.reports.finetune_json import RESULT_FILE, finetune_json, render_result_file

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_ADAPTER, _BASELINE, _OTHER = "#D55E00", "#0072B2", "#666666"
_DPI = 120
_MAX_POINTS = 40  # of a loss curve: the loss of a single step is noisy


def render_files(result: FinetuneResult) -> dict[str, bytes]:
    """Render the files by name; result.json holds what `assay finetune --json` prints."""
    return {"curves.png": render_curves(result), RESULT_FILE: render_result_file(finetune_json(result))}


def render_curves(result: FinetuneResult) -> bytes:
    """Render a PNG of three panels, deterministically; an empty panel says so."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(_heading(result), fontsize=11)
    grid = figure.add_gridspec(2, 2)
    _draw_losses(figure.add_subplot(grid[0, 0]), result.runs)
    _draw_validations(figure.add_subplot(grid[0, 1]), result.runs)
    _draw_rankings(figure.add_subplot(grid[1, :]), result.judgement.rows)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    return drawn.getvalue()


def _heading(result: FinetuneResult) -> str:
    judgement = result.judgement
    name = plain(inert(result.repo, 60))
    outcome = f"control: {result.control}" if result.control else judgement.outcome
    return f"{name}: {outcome} ({judgement.n:,} held-out functions, {judgement.positives:,} of them fixed)"


def plain(text: str) -> str:
    """Escape dollar signs, which would begin a formula."""
    return text.replace("$", r"\$")


def _draw_losses(axes: Axes, runs: Sequence[SeedRun]) -> None:
    axes.set(title="Training loss (all labels)", xlabel="step", ylabel="loss")
    for place, run in enumerate(runs):
        curve = smoothed(run.refit_losses or run.fit.losses)
        _line(axes, curve, place, f"seed {run.seed}")
    _finish(axes, any(run.refit_losses or run.fit.losses for run in runs))


def _draw_validations(axes: Axes, runs: Sequence[SeedRun]) -> None:
    axes.set(title="Validation on the last quarter of the window", xlabel="step", ylabel="Spearman's ρ")
    for place, run in enumerate(runs):
        _line(axes, run.fit.validations, place, f"seed {run.seed}: {run.fit.steps} steps", _MARKERS)
        chosen = run.fit.validation_rho
        if chosen is not None:
            axes.plot([run.fit.steps], [chosen], "o", ms=13, mfc="none", mec=COLOURS[place % len(COLOURS)])
    _finish(axes, any(run.fit.validations for run in runs))


def _draw_rankings(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw ρ of each ranking on the holdout, best on top."""
    known = sorted((row for row in rows if row.quality.rho is not None), key=lambda row: row.quality.rho or 0.0)
    axes.set(title="Holdout: ρ with 95 % intervals", xlabel="Spearman's ρ")
    for height, row in enumerate(known):
        quality = row.quality
        rho = quality.rho or 0.0
        low, high = (rho if end is None else end for end in (quality.rho_low, quality.rho_high))
        colour = _ADAPTER if row.name in (ADAPTER, BLEND) else _BASELINE if row.name == BASELINE else _OTHER
        axes.plot([low, high], [height, height], "-", color=colour, lw=2)
        axes.plot([rho], [height], "D" if row.name == ADAPTER else "o", color=colour, ms=7)
    axes.set_yticks(range(len(known)), [row.name for row in known])
    axes.margins(y=0.15)
    axes.axvline(0, color="#999999", lw=1)
    _finish(axes, bool(known))


def smoothed(curve: Curve) -> Curve:
    """Return at most 40 points: the means of equal stretches, each at its last step."""
    width = -(-len(curve) // _MAX_POINTS) if curve else 1
    stretches = [curve[start : start + width] for start in range(0, len(curve), width)]
    return tuple((part[-1][0], sum(value for _, value in part) / len(part)) for part in stretches)


def _line(axes: Axes, curve: Curve, place: int, label: str, markers: Sequence[str] = ("",)) -> None:
    if curve:
        axes.plot(
            [step for step, _ in curve],
            [value for _, value in curve],
            color=COLOURS[place % len(COLOURS)],
            linestyle=_STYLES[place % len(_STYLES)],
            marker=markers[place % len(markers)],
            label=label,
        )


def _finish(axes: Axes, has_data: bool) -> None:
    axes.grid(alpha=0.3)
    if axes.get_xlabel() == "step":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    if not has_data:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
