"""Compare a measured repository with the threshold of its label recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pipeline.calibration.threshold import Calibration
from pipeline.label_recipe import LabelRecipe
from pipeline.records import Screening, Verdict
from pipeline.screening.measure import Measured
from pipeline.screening.verdict import MEASURED_WITH_CONFIGURATION, judge

# The hash of a repository's configuration overlay when it has no configuration.
NO_CONFIG_HASH = ""


@dataclass(frozen=True)
class Cost:
    """Time and memory that a screening took, as measured by the caller."""

    seconds: float
    peak_rss_mb: float


def judge_measured(
    measured: Measured, recipe: LabelRecipe, calibration: Calibration, cost: Cost, evidence_note: str = ""
) -> Screening:
    """Return the screening of a measured repository: the verdict and everything shown beside it."""
    mined = measured.mined
    obstacle = mined.obstacle.sentence if mined.obstacle else ""
    verdict = judge(
        measured.density, mined.windows, measured.held_out, measured.held_out_positives, calibration, obstacle
    )
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
    """Add a reason to the verdict if the repository's own configuration affected the measurement."""
    if config_hash == NO_CONFIG_HASH:
        return verdict
    return dataclasses.replace(verdict, reasons=(*verdict.reasons, MEASURED_WITH_CONFIGURATION))
