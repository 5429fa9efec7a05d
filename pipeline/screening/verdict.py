"""Density and threshold to a verdict, with the words and the reasons that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.label_recipe import MESSAGES, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Density, Standing, Threshold, Verdict, Windows

if TYPE_CHECKING:  # which imports numpy, and a stored measurement is judged where that is not wanted
    from pipeline.calibration.threshold import Calibration

WORDS = {
    ("RUN", False): "worth trying (RUN)",
    ("RUN", True): "too close to call, leaning RUN",
    ("SKIP", True): "too close to call, leaning SKIP",
    ("SKIP", False): "not worth it (SKIP): use the ranking",
}
NOT_MEASURABLE = "cannot be measured (SKIP)"
MEASURED_WITH_CONFIGURATION = "Measured with this repository's own configuration."


def judge(
    density: Density | None, windows: Windows, held_out: int, held_out_positives: int, calibration: Calibration
) -> Verdict:
    """RUN where the density reaches the threshold and a run could be judged, else SKIP.

    `held_out` is the expected number of held-out functions (40 % of those alive at T_eval), `held_out_positives`
    the expected number of positives among them. `density` is None where there is not one pair.
    """
    threshold = calibration.threshold
    hindrances = _hindrances(density, windows, held_out, held_out_positives)
    closeness = _closeness(density, windows, threshold)
    runs = density is not None and density.value >= threshold.value and not hindrances
    return Verdict(
        verdict="RUN" if runs else "SKIP",
        words=NOT_MEASURABLE if hindrances else WORDS["RUN" if runs else "SKIP", bool(closeness)],
        measurable=not hindrances,
        near_boundary=bool(closeness),
        reasons=(
            *hindrances,
            *_comparison(density, threshold),
            *closeness,
            *(["Expect a modest result from a run."] if runs and closeness else []),
            *_origin(threshold),
            stand(threshold, calibration.standing),
        ),
    )


def _hindrances(density: Density | None, windows: Windows, held_out: int, held_out_positives: int) -> list[str]:
    """Why a run could not be judged, worst first; nothing where it could."""
    if windows.too_little_history:
        return [
            f"There is too little history: {_days(windows.history_days)} give no training window of "
            f"{MESSAGES.shortest_training_days} days."
        ]
    if density is None:
        return ["There is too little code: not one function was alive at the start of the training window."]
    found = []
    if held_out < MIN_HELD_OUT:
        found.append(
            f"A run could not be judged: about {held_out:,} functions would be held out, and at least "
            f"{MIN_HELD_OUT} are needed."
        )
    if held_out_positives < MIN_HELD_OUT_POSITIVES:
        found.append(
            f"A run could not be judged: about {held_out_positives:,} of the held-out functions would have a fix, and "
            f"at least {MIN_HELD_OUT_POSITIVES} are needed."
        )
    return found


def _comparison(density: Density | None, threshold: Threshold) -> list[str]:
    if density is None:
        return []
    interval = f"{_number(density.low)} to {_number(density.high)}"
    side = "reaches" if density.value >= threshold.value else "is below"
    return [
        f"The mean defect signal density of {_number(density.value)} ({interval}) {side} the threshold of "
        f"{_number(threshold.value)}."
    ]


def _closeness(density: Density | None, windows: Windows, threshold: Threshold) -> list[str]:
    """Why the verdict is near the boundary; nothing where it is not."""
    found = []
    if density is not None and threshold.band_low <= density.value <= threshold.band_high:
        found.append(
            f"The density lies in the band of {_number(threshold.band_low)} to {_number(threshold.band_high)} around "
            "the threshold, where a few outcomes more could turn the verdict."
        )
    if density is not None and density.low <= threshold.value <= density.high:
        found.append("The interval of the density contains the threshold.")
    if windows.shortened and not windows.too_little_history:
        found.append(
            f"The windows of {windows.window_days:.0f} + {windows.horizon_days:.0f} days, in a history of "
            f"{_days(windows.history_days)}, are shorter than the default of {MESSAGES.training_days} + "
            f"{MESSAGES.horizon_days} days."
        )
    return found


def _origin(threshold: Threshold) -> list[str]:
    if threshold.source == "borrowed":
        return [
            "This label recipe has no calibration set of its own, so the threshold is borrowed from the recipe "
            f"`{MESSAGES.name}` and the band is widened to ±30 % or more."
        ]
    if threshold.source == "seed":
        return ["The threshold is that of the seed data shipped with Assay: no outcome measured here has moved it yet."]
    return []


def stand(threshold: Threshold, standing: Standing) -> str:
    """What the threshold rests on, in one sentence: it stands beside every verdict."""
    one = standing.outcomes == 1
    shared = f", {standing.shared} shared by others of this server" if standing.shared else ""
    counts = (
        f"{standing.outcomes} outcome{'' if one else 's'} ({standing.published} published, "
        f"{standing.measured} measured here{shared})"
    )
    both = standing.winners and standing.losers
    if not both and threshold.source != "calibration":  # which it is where those that are not named have both
        what = f"only {counts}" if standing.outcomes else "no outcome"
        return f"The calibration set has {what}, too few to fit a threshold: wins and losses are both needed."
    right = "none" if standing.leave_one_out is None else f"{100 * standing.leave_one_out:.0f} %"
    return f"The threshold rests on {counts}; leave-one-out gets {right} of them right."


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"


def _days(days: float) -> str:
    return f"{days:,.0f} day{'' if round(days) == 1 else 's'}"
