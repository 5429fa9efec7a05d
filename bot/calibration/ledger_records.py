"""Turn a run and its screening into the prediction and the outcome for the ledger. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bot.records import Run, StoredScreening
from pipeline.calibration.ledger_entries import OUTCOME_KINDS, Prediction
from pipeline.calibration.threshold import Calibration, select_points
from pipeline.json_fields import Fields, MalformedError
from pipeline.records import Outcome
from pipeline.screening.measurement import load_judgement, load_measurement

UNKNOWN_VERSION: Final = "unknown"


Obstacle = Literal[
    # not recorded in the ledger:
    "not_judged",  # on a holdout
    "unfinished",
    "control",
    "no_density",  # measured before the run
    "label_recipe_differs",  # between the run and the density before it
    "config_differs",  # likewise
    "unreadable",  # stored by another release
    # recorded, but not counted:
    "inconclusive",
    "excluded",  # by an operator
    "family_differs",  # of the base model, between the run and the threshold
    "superseded",  # by a newer outcome of the repository
]


@dataclass(frozen=True, slots=True)
class NotCounted:
    """Why an outcome does not move the threshold."""

    why: Obstacle
    operator_reason: str = ""  # excluded
    family: str = ""  # family_differs: of the run
    threshold_family: str = ""


def why_not_recorded(run: Run, screening: StoredScreening | None) -> Obstacle | None:
    """Return why a run is no evidence about its screening; None if it is. `screening` is the one the run refers to."""
    if run.purpose != "judge":
        return "not_judged"
    if run.ending != "finished" or run.result is None:
        return "unfinished"
    if run.result.get("control"):
        return "control"
    if screening is None or screening.failure:
        return "no_density"
    if screening.label_recipe_id != run.label_recipe_id or run.result.get("label_recipe_id") != run.label_recipe_id:
        return "label_recipe_differs"
    if run.result.get("config_hash") != screening.config_hash:
        return "config_differs"
    return None


def outcome_of(run: Run, screening: StoredScreening, full_name: str) -> Outcome:
    """Build the outcome, with the density measured before the run.

    It is dated by the request, so that a late result does not override a newer one. Raises MalformedError if the result
    or the measurement cannot be parsed.
    """
    result, measurement = Fields(run.result, "result"), load_measurement(screening.measurement)
    density = measurement.density
    if density is None:
        raise MalformedError("measurement.density: there is none")
    return Outcome(
        repo=full_name,
        density=density.value,
        outcome=result.choice("outcome", OUTCOME_KINDS),
        provenance="measured",
        label_recipe_id=run.label_recipe_id,
        decided_at=run.made_at.isoformat(),
        base_model_family=result.text("base_model_family"),
        density_low=density.low,
        density_high=density.high,
        pairs=density.pairs,
        rho_adapter=result.optional("rho_adapter", lambda: result.number("rho_adapter", -1, 1)),
        rho_baseline=result.optional("rho_baseline", lambda: result.number("rho_baseline", -1, 1)),
    )


def prediction_of(screening: StoredScreening, full_name: str) -> Prediction:
    """Build the prediction that was made before the run. Raises MalformedError."""
    measurement, judgement = load_measurement(screening.measurement), load_judgement(screening.judgement)
    density = measurement.density
    return Prediction(
        at=screening.measured_at.isoformat(),
        repo=full_name,
        head_sha=screening.head_sha,
        density=density.value if density else None,
        density_low=density.low if density else None,
        density_high=density.high if density else None,
        threshold=judgement.threshold.value,
        threshold_version=judgement.threshold_version or UNKNOWN_VERSION,
        verdict=judgement.verdict,
        measurable=judgement.measurable,
        near_boundary=judgement.near_boundary,
        label_recipe_id=screening.label_recipe_id,
        config_hash=screening.config_hash,
    )


def why_not_counted(outcome: Outcome, calibration: Calibration, family: str) -> NotCounted | None:
    """Return why an outcome in the ledger is not a point of the calibration; None if it is."""
    if outcome in calibration.points:
        return None
    if outcome.outcome == "INCONCLUSIVE":
        return NotCounted("inconclusive")
    if outcome.excluded_because:
        return NotCounted("excluded", operator_reason=outcome.excluded_because)
    if not select_points([outcome], outcome.label_recipe_id, family or None):
        return NotCounted("family_differs", family=outcome.base_model_family, threshold_family=family)
    return NotCounted("superseded")
