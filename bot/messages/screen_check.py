"""The check run `assay/screen`: conclusion, title, text and buttons for a screening."""

from __future__ import annotations

from typing import Final

from bot.messages.check_run import SCREEN, build_check_run
from bot.messages.hotspots import render_hotspots
from bot.messages.markdown import paragraphs
from bot.messages.screen_context import ScreenContext
from bot.messages.screen_summary import render_details, render_failure, render_summary
from bot.messages.verdict_text import verdict_words
from bot.records import CheckAction, CheckRunFields, StoredScreening
from pipeline.records import Density
from pipeline.reports import numbers
from pipeline.screening.measurement import Judgement, Measurement, load_judgement, load_measurement

FINE_TUNE: Final = CheckAction("Fine-tune", "Train an adapter on these bug fixes", "finetune")
RESCREEN: Final = CheckAction("Re-screen", "Measure this repository again", "rescreen")

_CUT: Final = "*Truncated at GitHub’s limit. Run `assay screen` on a clone to see everything.*"


def screen_check(stored: StoredScreening, context: ScreenContext) -> CheckRunFields:
    """Return the check run of a screening, measured or failed.

    Raises MalformedError if another release stored the screening and this one cannot read it.
    """
    if stored.failure:
        summary = render_failure(stored, context)
        return build_check_run(
            SCREEN, context, "neutral", "could not be measured", summary, cut=_CUT, actions=(RESCREEN,)
        )
    measurement, judgement = load_measurement(stored.measurement), load_judgement(stored.judgement)
    runs = judgement.verdict == "RUN"
    hotspots = render_hotspots(stored, context)
    return build_check_run(
        SCREEN,
        context,
        "success" if runs else "neutral",
        _title(measurement, judgement) + _carried_over(stored, context),
        render_summary(stored, measurement, judgement, context, ranked=bool(hotspots)),
        paragraphs(hotspots, render_details(stored, measurement)),
        cut=_CUT,
        actions=(FINE_TUNE, RESCREEN) if runs and context.fine_tuning_on else (RESCREEN,),
    )


def _title(measurement: Measurement, judgement: Judgement) -> str:
    words, threshold = verdict_words(measurement, judgement), numbers.density(judgement.threshold.value)
    if obstacle := _obstacle(measurement, judgement):
        words = f"{words}, {obstacle}"
    separator = "; " if ":" in words else ": "
    return f"{words}{separator}{_density(measurement.density)}, threshold {threshold}"


def _obstacle(measurement: Measurement, judgement: Judgement) -> str:
    if judgement.measurable:
        return ""
    if measurement.obstacle is not None:
        return measurement.obstacle.title
    if measurement.windows.too_little_history:
        return "too little history"
    return "too little code" if measurement.density is None else "too few held-out functions or fixes"


def _density(density: Density | None) -> str:
    if density is None:
        return "no density"
    low, high = numbers.density(density.low), numbers.density(density.high)
    return f"density {numbers.density(density.value)} ({low}–{high})"


def _carried_over(stored: StoredScreening, context: ScreenContext) -> str:
    if stored.head_sha == context.head_sha:
        return ""
    return f"; measured at {stored.head_sha[:7]} on {stored.measured_at:%Y-%m-%d}"
