"""Decide RUN or SKIP from density and threshold, with the reasons shown to users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.label_recipe import MESSAGES, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Density, Standing, Threshold, Verdict, Windows

if TYPE_CHECKING:  # imports numpy, which the web process does without
    from pipeline.calibration.threshold import Calibration

WORDS = {
    ("RUN", False): "worth trying (RUN)",
    ("RUN", True): "too close to call, leaning RUN",
    ("SKIP", True): "too close to call, leaning SKIP",
    ("SKIP", False): "not worth it (SKIP): use the ranking",
}
NOT_MEASURABLE = "cannot be measured (SKIP)"
NOT_JUDGED = "a run could not be judged (SKIP)"  # of a density that was measured and reaches the threshold
MEASURED_WITH_CONFIGURATION = "Measured with this repository's own configuration."


def judge(
    density: Density | None,
    windows: Windows,
    held_out: int,
    held_out_positives: int,
    calibration: Calibration,
    obstacle: str = "",
) -> Verdict:
    """Return RUN if the density reaches the threshold and a run could be judged, else SKIP.

    `held_out` is the expected number of held-out functions (40 % of those alive at T_eval), `held_out_positives`
    the expected number of positives among them. `density` is None without pairs. `obstacle` says why little or nothing
    could be read.
    """
    threshold = calibration.threshold
    obstacles = _obstacles(density, windows, held_out, held_out_positives, obstacle)
    closeness = _closeness(density, windows, threshold)
    reaches = density is not None and density.value >= threshold.value
    runs = reaches and not obstacles
    return Verdict(
        verdict="RUN" if runs else "SKIP",
        words=(NOT_JUDGED if reaches else NOT_MEASURABLE)
        if obstacles
        else WORDS["RUN" if runs else "SKIP", bool(closeness)],
        measurable=not obstacles,
        near_boundary=bool(closeness),
        reasons=(
            *obstacles,
            *_comparison(density, threshold, judged=not obstacles),
            *closeness,
            *(["Expect a modest result from a run."] if runs and closeness else []),
            *_origin(threshold),
            render_standing(threshold, calibration.standing),
        ),
    )


def _obstacles(
    density: Density | None, windows: Windows, held_out: int, held_out_positives: int, obstacle: str
) -> list[str]:
    """Return why a run could not be judged, worst first; empty if it could."""
    if obstacle:
        return [obstacle]
    if windows.too_little_history:
        leave = "leaves" if round(windows.history_days) == 1 else "leave"
        return [
            f"There is too little history: {_days(windows.history_days)} {leave} no room for a training window of "
            f"{MESSAGES.shortest_training_days} days."
        ]
    if density is None:
        return ["There is too little code: no function was alive at the start of the training window."]
    obstacles = []
    if held_out < MIN_HELD_OUT:
        obstacles.append(
            f"A run could not be judged: it would hold out about {held_out:,} functions, and at least "
            f"{MIN_HELD_OUT} are needed."
        )
    if held_out_positives < MIN_HELD_OUT_POSITIVES:
        obstacles.append(
            f"A run could not be judged: about {held_out_positives:,} of the held-out functions would have a fix, and "
            f"at least {MIN_HELD_OUT_POSITIVES} are needed."
        )
    return obstacles


def _comparison(density: Density | None, threshold: Threshold, *, judged: bool) -> list[str]:
    """Compare density and threshold; only state both if the verdict does not follow from them."""
    if density is None:
        return []
    interval = f"{_number(density.low)} to {_number(density.high)}"
    if not judged:
        return [
            f"The mean defect signal density is {_number(density.value)} ({interval}); the threshold is "
            f"{_number(threshold.value)}."
        ]
    side = "reaches" if density.value >= threshold.value else "is below"
    return [
        f"The mean defect signal density of {_number(density.value)} ({interval}) {side} the threshold of "
        f"{_number(threshold.value)}."
    ]


def _closeness(density: Density | None, windows: Windows, threshold: Threshold) -> list[str]:
    """Return why the verdict is near the boundary; empty if it is not."""
    reasons = []
    if density is not None and threshold.band_low <= density.value <= threshold.band_high:
        reasons.append(
            f"The density lies in the band of {_number(threshold.band_low)} to {_number(threshold.band_high)} around "
            "the threshold, where a few more outcomes could change the verdict."
        )
    if density is not None and density.low <= threshold.value <= density.high:
        reasons.append("The density's 95 % interval contains the threshold.")
    if windows.shortened and not windows.too_little_history:
        reasons.append(
            f"The windows of {windows.window_days:.0f} + {windows.horizon_days:.0f} days, from a history of "
            f"{_days(windows.history_days)}, are shorter than the default of {MESSAGES.training_days} + "
            f"{MESSAGES.horizon_days} days."
        )
    return reasons


def _origin(threshold: Threshold) -> list[str]:
    if threshold.source == "borrowed":
        return [
            "This label recipe has no calibration set of its own, so its threshold is borrowed from the recipe of "
            "commit messages alone, with the band widened to at least ±30 %."
        ]
    if threshold.source == "seed":
        return ["The threshold comes from the seed data shipped with Assay; no outcome measured here has moved it yet."]
    return []


def render_standing(threshold: Threshold, standing: Standing) -> str:
    """Return the sentence beside every verdict that says which outcomes the threshold rests on."""
    one = standing.outcomes == 1
    shared = f", {standing.shared} shared by others on this server" if standing.shared else ""
    counts = (
        f"{standing.outcomes} outcome{'' if one else 's'} ({standing.published} published, "
        f"{standing.measured} measured here{shared})"
    )
    both = standing.winners and standing.losers
    if not both and threshold.source != "calibration":  # shared outcomes are unnamed and may supply the missing class
        what = f"only {counts}" if standing.outcomes else "no outcomes"
        return f"The calibration set has {what}: fitting a threshold takes at least one win and one loss."
    right = "none" if standing.leave_one_out is None else f"{100 * standing.leave_one_out:.0f} %"
    return f"The threshold rests on {counts}; leave-one-out gets {right} of them right."


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"


def _days(days: float) -> str:
    return f"{days:,.0f} day{'' if round(days) == 1 else 's'}"
