"""Render a screening as one self-contained HTML page: no scripts, fonts, images or external links.

The page is safe to open and share whatever the repository contains; `jinja` makes all text inert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.label_recipe import LabelRecipe
from pipeline.records import FunctionHistory, Screening
from pipeline.reports import numbers
from pipeline.reports.diagnosis_text import advice, explain_screening, why_no_density
from pipeline.reports.jinja import EVIDENCE_WORDS, environment
from pipeline.reports.plots import Bar, DensityAxis, Part, density_axis, histogram, mix, timeline
from pipeline.screening.density import signals_of

MAX_FUNCTIONS = 20
MAX_COMMITS = 200

OUTCOME_WORDS = {"winner": "fine-tuning won", "loser": "fine-tuning did not win", "here": "this repository"}


@dataclass(frozen=True, slots=True)
class Scored:
    """A function with its signal."""

    function: FunctionHistory
    signal: float


def render_screen_page(screening: Screening, label_recipe: LabelRecipe, *, version: str = "") -> str:
    """Return the page, to be written as UTF-8. `version` is that of Assay, for the footer."""
    mined, density = screening.mined, screening.density
    scored = score(screening, label_recipe)
    axis = density_axis(mined.repo, density, screening.threshold, screening.standing)
    bars, parts = histogram(row.signal for row in scored), mix(screening.evidence)
    return (
        environment()
        .get_template("screen.html.j2")
        .render(
            screening=screening,
            mined=mined,
            density=density,
            threshold=screening.threshold,
            standing=screening.standing,
            verdict=screening.verdict,
            recipe=label_recipe,
            version=version,
            tone=_tone(screening),
            axis=axis,
            axis_title=_axis_title(axis, screening),
            outcome_words=OUTCOME_WORDS,
            bars=bars,
            histogram_title=_histogram_title(bars),
            parts=parts,
            mix_title=_mix_title(parts),
            line=timeline(mined.windows, mined.counted),
            timeline_title=_timeline_title(screening),
            worst=most_fix_prone(scored),
            explanation=explain_screening(screening),
            advice=advice(screening.diagnosis) if screening.diagnosis else [],
            no_density=why_no_density(mined.obstacle),
            newest=mined.counted[: -MAX_COMMITS - 1 : -1],
        )
    )


def score(screening: Screening, label_recipe: LabelRecipe) -> list[Scored]:
    """Return every function alive at T_train with its signal; empty without a density."""
    train, density = screening.mined.train, screening.density
    if density is None:
        return []
    signals = signals_of(train, label_recipe, density.curve).tolist()
    return [Scored(function, signal) for function, signal in zip(train, signals, strict=True)]


def most_fix_prone(scored: Sequence[Scored], limit: int = MAX_FUNCTIONS) -> list[Scored]:
    """Return the functions with the most credit, ties in the order of path and line; none without credit."""
    fixed = [row for row in scored if row.function.credit > 0]
    fixed.sort(key=lambda row: (-row.function.credit, row.function.path, row.function.start_line))
    return fixed[:limit]


def _tone(screening: Screening) -> str:
    """Return the CSS class for the colour of the verdict."""
    if not screening.verdict.measurable:
        return "quiet"
    return "run" if screening.verdict.verdict == "RUN" else "skip"


def _axis_title(axis: DensityAxis, screening: Screening) -> str:
    threshold = numbers.density(screening.threshold.value)
    own = f"This repository has {numbers.density(screening.density.value)}. " if screening.density else ""
    marks = [row.mark for row in axis.rows]
    return (
        f"Density of repositories around the threshold of {threshold}. {own}"
        f"{numbers.counted(marks.count('winner'), 'winner')}, {numbers.counted(marks.count('loser'), 'loser')}."
    )


def _histogram_title(bars: Sequence[Bar]) -> str:
    return "Functions by signal. " + "; ".join(f"{bar.label}: {bar.count}" for bar in bars if bar.count)


def _mix_title(parts: Sequence[Part]) -> str:
    named = (f"{EVIDENCE_WORDS.get(part.name, part.name)} {numbers.share(part.share)}" for part in parts)
    return "Evidence mix: " + ", ".join(named)


def _timeline_title(screening: Screening) -> str:
    windows = screening.mined.windows
    return (
        f"Training window from {numbers.day(windows.train_start)} to {numbers.day(windows.eval_start)}, "
        f"horizon to {numbers.day(windows.as_of)}."
    )
