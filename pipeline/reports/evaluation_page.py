"""Render an evaluation as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.label_recipe import LabelRecipe
from pipeline.ranking.evaluate import Evaluation, Table
from pipeline.reports import numbers
from pipeline.reports.evaluation_plots import (
    CURVE_STEPS,
    Curve,
    Tenths,
    Whiskers,
    best_possible,
    compared_by_tenth,
    recall_curves,
    whiskers,
)
from pipeline.reports.evaluation_text import conclude
from pipeline.reports.jinja import environment
from pipeline.reports.plots import timeline

MAX_SERIES = 6  # curve styles besides the baseline's; further scorers share the last one
SHARES_SHOWN = (5, 10, 20, 50)  # percent of the lines, in the table below the curves


def render_evaluation_page(
    evaluation: Evaluation, label_recipe: LabelRecipe, *, seconds: float, peak_rss_mb: float, version: str = ""
) -> str:
    """Return the page, to be written as UTF-8. `version` is that of Assay, for the footer."""
    table, windows = evaluation.functions, evaluation.mined.windows
    curves, best, compared = recall_curves(table), best_possible(table), compared_by_tenth(table)
    order = [row.name for row in table.rows]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            evaluation=evaluation,
            mined=evaluation.mined,
            windows=windows,
            conclusion=conclude(evaluation),
            recipe=label_recipe,
            seconds=seconds,
            peak_rss_mb=peak_rss_mb,
            version=version,
            number=numbers.rho,
            interval=numbers.rho_interval,
            percentage=numbers.percentage,
            whiskers_of=whiskers,
            whiskers_title=_whiskers_title,
            whiskers_desc=_whiskers_desc,
            curves=curves,
            best=best,
            every_curve=(*curves, best),
            curves_desc=_curves_desc(curves),
            recall_after=recall_after,
            shares_shown=SHARES_SHOWN,
            path=_path,
            series=lambda name: min(order.index(name), MAX_SERIES),
            compared=compared,
            tenths_desc=_tenths_desc(compared),
            highest_rate=max((rate for shown in compared for rate in shown.rates), default=1.0),
            line=timeline(windows, ()),
            timeline_title=_timeline_title(evaluation),
        )
    )


def recall_after(curve: Curve, percent: int) -> float:
    """Return the recall after inspecting `percent` of the lines."""
    return curve.recalls[CURVE_STEPS * percent // 100]


def _path(curve: Curve) -> str:
    """Return SVG path commands in units of half a percent of the lines and one percent of recall."""
    points = (f"{i} {100 - 100 * recall:.2f}" for i, recall in enumerate(curve.recalls))
    return "M" + " ".join(points)


def _whiskers_title(table: Table, what: str) -> str:
    return f"Spearman’s ρ of {numbers.counted(len(table.rows), 'scorer')} over {table.n:,} {what}"


def _whiskers_desc(plot: Whiskers) -> str:
    rhos = ((row.name, "no ranking" if row.rho is None else numbers.rho(row.rho)) for row in plot.rows)
    return "; ".join(f"{name}: {rho}" for name, rho in rhos)


def _curves_desc(curves: Sequence[Curve]) -> str:
    named = (f"{curve.name} {numbers.percentage(curve.at_20_percent)}" for curve in curves)
    return "Found after 20 % of the lines: " + ", ".join(named)


def _tenths_desc(compared: Sequence[Tenths]) -> str:
    return "; ".join(f"{shown.name}: {', '.join(map(numbers.percentage, shown.rates))}" for shown in compared)


def _timeline_title(evaluation: Evaluation) -> str:
    windows = evaluation.mined.windows
    return (
        f"Training window from {numbers.day(windows.train_start)} to {numbers.day(windows.eval_start)}, "
        f"horizon to {numbers.day(windows.as_of)}."
    )
