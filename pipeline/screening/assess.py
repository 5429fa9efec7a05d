"""A repository screened: measured, compared with the threshold of its label recipe, judged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pipeline.calibration.threshold import Calibration
from pipeline.label_recipe import LabelRecipe
from pipeline.records import Screening, Verdict
from pipeline.screening.measure import Measured
from pipeline.screening.verdict import MEASURED_WITH_CONFIGURATION, judge

# A repository's own configuration is an overlay on the recipe; this stands for having none.
NO_CONFIG_HASH = ""


@dataclass(frozen=True)
class Cost:
    """What a screening took, told by whoever can look at the process."""

    seconds: float
    peak_rss_mb: float


def judge_measured(
    measured: Measured, recipe: LabelRecipe, calibration: Calibration, cost: Cost, evidence_note: str = ""
) -> Screening:
    """The verdict on a measured repository, with everything that goes on show beside it."""
    mined = measured.mined
    verdict = judge(measured.density, mined.windows, measured.held_out, measured.held_out_positives, calibration)
    return Screening(
        mined=mined,
        density=measured.density,
        evidence=measured.evidence,
        threshold=calibration.threshold,
        standing=calibration.standing,
        verdict=_with_configuration(verdict, measured.config_hash),
        label_recipe_id=recipe.id,
        config_hash=measured.config_hash,
        seconds=cost.seconds,
        peak_rss_mb=cost.peak_rss_mb,
        diagnosis=measured.diagnosis,
        other=measured.other,
        evidence_note=evidence_note,
    )


def _with_configuration(verdict: Verdict, config_hash: str) -> Verdict:
    """The verdict saying that the repository's own configuration decided what counts, where it did."""
    if config_hash == NO_CONFIG_HASH:
        return verdict
    return dataclasses.replace(verdict, reasons=(*verdict.reasons, MEASURED_WITH_CONFIGURATION))
