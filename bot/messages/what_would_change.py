"""What would turn a verdict: how many fixes, functions or days are missing. Arithmetic on a measurement."""

from __future__ import annotations

import math

from pipeline.label_recipe import HOLDOUT_SHARE, MESSAGES, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Density, Threshold
from pipeline.reports import numbers
from pipeline.screening.measurement import Measurement

_TRAINING_SHARE = MESSAGES.training_days / (MESSAGES.training_days + MESSAGES.horizon_days)
SHORTEST_HISTORY_DAYS = math.ceil(MESSAGES.shortest_training_days / _TRAINING_SHARE / MESSAGES.history_share)


def what_would_change(measurement: Measurement, threshold: Threshold) -> list[str]:
    """Sentences, the nearest obstacle first."""
    if measurement.windows.too_little_history:
        return [_history(measurement.windows.history_days)]
    found = _held_out(measurement)
    density = measurement.density
    if density is not None and (density.value < threshold.value or not found):
        found.append(_density(density, threshold))
    if density is not None:
        found.extend(_wording(measurement))
    return found


def _history(history_days: float) -> str:
    missing = math.ceil(SHORTEST_HISTORY_DAYS - history_days)
    if missing > 0:
        return f"Time: a verdict needs a history of {SHORTEST_HISTORY_DAYS} days, {missing:,} more than there are."
    return (
        f"Time: too little of the present code is as old as the windows. They shrink until "
        f"{numbers.share(MESSAGES.alive_share)} as many functions are alive at their start, and no window of "
        f"{MESSAGES.shortest_training_days} days is left."
    )


def _held_out(measurement: Measurement) -> list[str]:
    found = []
    if (missing := MIN_HELD_OUT - measurement.held_out) > 0:
        more = math.ceil(missing / HOLDOUT_SHARE)
        found.append(f"More code: about {numbers.counted(more, 'function')} more, so that a run can be judged.")
    if (missing := MIN_HELD_OUT_POSITIVES - measurement.held_out_positives) > 0:
        more = math.ceil(missing / HOLDOUT_SHARE)
        found.append(
            f"More fixes in the time that is kept to judge a run: in about {numbers.counted(more, 'function')} more."
        )
    return found


def _density(density: Density, threshold: Threshold) -> str:
    """How many functions with a fix stand between the density and the threshold, at the signal they have here."""
    reaches = density.value >= threshold.value
    gap = abs(threshold.value - density.value) * density.pairs
    if density.positives == 0:
        return (
            f"Fixes: at least {numbers.counted(max(1, math.ceil(gap)), 'function')} of {density.pairs:,} would need "
            "one to reach the threshold."
        )
    each = density.value * density.pairs / density.positives if density.value > 0 else 1.0
    if reaches:
        fewer = math.floor(gap / each) + 1
        return (
            f"If about {fewer:,} of the {numbers.counted(density.positives, 'function')} with a fix had none, the "
            "density would be below the threshold."
        )
    more = math.ceil(gap / each)
    if more > density.pairs - density.positives:
        return "The density is so far below the threshold that not even a fix in every function would reach it."
    return (
        f"If about {numbers.counted(more, 'function')} more had a fix, beside the {density.positives:,} that do, the "
        "density would reach the threshold."
    )


def _wording(measurement: Measurement) -> list[str]:
    """How a team makes its fixes count, where only the subjects of commits speak of them."""
    if measurement.diagnosis is not None and measurement.diagnosis.issues is not None:  # issues were read as well
        return []
    if not measurement.window_commits or measurement.evidence.get("issue") or measurement.evidence.get("label"):
        return []
    return [
        "Only the subjects of commits were read. A fix counts where its subject begins with `fix:` or has a word such "
        "as fix, bug or regression. A fix that does not say so was missed."
    ]
