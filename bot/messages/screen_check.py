"""A screening as the fields of the check run `assay/screen`: conclusion, title, words and buttons."""

from __future__ import annotations

from typing import Literal

from bot.messages.hotspots import render_look_here
from bot.messages.markdown import fit
from bot.messages.screen_context import ScreenContext
from bot.messages.screen_summary import render_details, render_failure, render_summary
from bot.records import CheckAction, CheckRunFields, StoredScreening
from pipeline.records import Density
from pipeline.reports import numbers
from pipeline.reports.escape import inert
from pipeline.screening.measurement import Judgement, Measurement, load_judgement, load_measurement

__all__ = ["FINE_TUNE", "RESCREEN", "SCREEN", "ScreenContext", "screen_check"]

SCREEN = "assay/screen"
LONGEST_TITLE = 255
FINE_TUNE = CheckAction("Fine-tune", "Train an adapter on these bug fixes", "finetune")
RESCREEN = CheckAction("Re-screen", "Measure this repository again", "rescreen")

_CUT = "*The rest is left out: GitHub takes no more here. `assay screen` prints it from a clone.*"


def screen_check(stored: StoredScreening, situation: ScreenContext) -> CheckRunFields:
    """The check run of a screening, measured or failed. Raises MalformedError where what is stored makes no sense."""
    if stored.failure:
        return _fields(
            situation, "neutral", "could not be measured", render_failure(stored, situation), "", (RESCREEN,)
        )
    measurement, judgement = load_measurement(stored.measurement), load_judgement(stored.judgement)
    runs = judgement.verdict == "RUN"
    conclusion: Literal["success", "neutral"] = "success" if runs else "neutral"
    actions = (FINE_TUNE, RESCREEN) if runs and situation.fine_tuning_on else (RESCREEN,)
    look_here = render_look_here(stored, situation)
    return _fields(
        situation,
        conclusion,
        _title(measurement, judgement) + _carried(stored, situation),
        render_summary(stored, measurement, judgement, situation, ranked=bool(look_here)),
        "\n\n".join(filter(None, [look_here, render_details(stored, measurement)])),
        actions,
    )


def _fields(
    situation: ScreenContext,
    conclusion: Literal["success", "neutral"],
    title: str,
    summary: str,
    text: str,
    actions: tuple[CheckAction, ...],
) -> CheckRunFields:
    return CheckRunFields(
        name=SCREEN,
        head_sha=situation.head_sha,
        external_id=situation.external_id,
        conclusion=conclusion,
        title=inert(title, LONGEST_TITLE - 1),
        summary=fit(summary, _CUT),
        text=fit(text, _CUT),
        actions=actions,
    )


def _title(measurement: Measurement, judgement: Judgement) -> str:
    words, threshold = judgement.words, f"threshold {numbers.density(judgement.threshold.value)}"
    if hindrance := _hindrance(measurement, judgement):
        words = f"{words}, {hindrance}"
    joint = "; " if ":" in words else ": "
    return f"{words}{joint}{_density_words(measurement.density)}, {threshold}"


def _hindrance(measurement: Measurement, judgement: Judgement) -> str:
    if judgement.measurable:
        return ""
    if measurement.windows.too_little_history:
        return "too little history"
    return "too little code" if measurement.density is None else "too little to judge a run by"


def _density_words(density: Density | None) -> str:
    if density is None:
        return "no density"
    low, high = numbers.density(density.low), numbers.density(density.high)
    return f"density {numbers.density(density.value)} ({low}–{high})"


def _carried(stored: StoredScreening, situation: ScreenContext) -> str:
    """Where the verdict was measured, if that is another commit than the one it is posted on."""
    if stored.head_sha == situation.head_sha:
        return ""
    return f"; measured at {stored.head_sha[:7]} on {stored.measured_at:%Y-%m-%d}"
