"""One evaluation as one HTML page that needs nothing else, kept inert as the page of a screening is."""

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
from pipeline.reports.evaluation_text import answer, interval, number, percentage
from pipeline.reports.jinja import environment
from pipeline.reports.plots import timeline

MOST_SERIES = 6  # styles of a curve beside the baseline's; scorers after that share the last
SHARES_SHOWN = (5, 10, 20, 50)  # percent of the lines, in the table beside the curves


def render_evaluation_page(
    evaluation: Evaluation, label_recipe: LabelRecipe, *, seconds: float, peak_rss_mb: float, version: str = ""
) -> str:
    """The page as text to be written as UTF-8. `version` is Assay's own, for the footer."""
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
            answer=answer(evaluation),
            recipe=label_recipe,
            seconds=seconds,
            peak_rss_mb=peak_rss_mb,
            version=version,
            number=number,
            interval=interval,
            percentage=percentage,
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
            series=lambda name: min(order.index(name), MOST_SERIES),
            compared=compared,
            tenths_desc=_tenths_desc(compared),
            highest_rate=max((rate for shown in compared for rate in shown.rates), default=1.0),
            line=timeline(windows, ()),
            timeline_title=_timeline_title(evaluation),
        )
    )


def recall_after(curve: Curve, percent: int) -> float:
    """The recall of a curve where `percent` of the lines have been inspected."""
    return curve.recalls[CURVE_STEPS * percent // 100]


def _path(curve: Curve) -> str:
    """Drawing commands in units of half a percent of the lines and one percent of recall."""
    points = (f"{i} {100 - 100 * recall:.2f}" for i, recall in enumerate(curve.recalls))
    return "M" + " ".join(points)


def _whiskers_title(table: Table, what: str) -> str:
    return f"Spearman’s ρ of {numbers.counted(len(table.rows), 'scorer')} over {table.n:,} {what}"


def _whiskers_desc(plot: Whiskers) -> str:
    return "; ".join(f"{row.name}: {number(row.rho) if row.rho is not None else 'no ranking'}" for row in plot.rows)


def _curves_desc(curves: Sequence[Curve]) -> str:
    named = (f"{curve.name} {percentage(curve.at_20_percent)}" for curve in curves)
    return "Found after 20 % of the lines: " + ", ".join(named)


def _tenths_desc(compared: Sequence[Tenths]) -> str:
    return "; ".join(f"{shown.name}: {', '.join(map(percentage, shown.rates))}" for shown in compared)


def _timeline_title(evaluation: Evaluation) -> str:
    windows = evaluation.mined.windows
    return (
        f"Learned from {numbers.day(windows.train_start)} to {numbers.day(windows.eval_start)}, "
        f"judged from there to {numbers.day(windows.as_of)}."
    )
