"""Compute what would flip a verdict: how many fixes, functions or days are missing."""

from __future__ import annotations

import math
from typing import Final

from pipeline.label_recipe import HOLDOUT_SHARE, MESSAGES, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Density, Threshold
from pipeline.reports import numbers
from pipeline.screening.measurement import Measurement

_TRAINING_SHARE: Final = MESSAGES.training_days / (MESSAGES.training_days + MESSAGES.horizon_days)
MIN_HISTORY_DAYS: Final = math.ceil(MESSAGES.shortest_training_days / _TRAINING_SHARE / MESSAGES.history_share)


def what_would_change(measurement: Measurement, threshold: Threshold) -> list[str]:
    """Return sentences, the nearest obstacle first."""
    if measurement.obstacle is not None:
        return []  # the reasons name it, with the way out
    if measurement.windows.too_little_history:
        return [_history(measurement.windows.history_days)]
    lines = _held_out(measurement)
    density = measurement.density
    if density is not None and (density.value < threshold.value or not lines):
        lines.append(_density(density, threshold))
    if density is not None:
        lines.extend(_wording(measurement))
    return lines


def _history(history_days: float) -> str:
    missing = math.ceil(MIN_HISTORY_DAYS - history_days)
    if missing > 0:
        return f"More history: a verdict needs {MIN_HISTORY_DAYS} days, {missing:,} more than there are."
    return (
        f"Older code: too few functions existed when a training window of {MESSAGES.shortest_training_days} days would "
        f"begin; it takes {numbers.share(MESSAGES.alive_share)} as many as at its end."
    )


def _held_out(measurement: Measurement) -> list[str]:
    lines = []
    if (missing := MIN_HELD_OUT - measurement.held_out) > 0:
        more = numbers.counted(math.ceil(missing / HOLDOUT_SHARE), "more function")
        lines.append(f"More code: about {more}, so that a run can be judged.")
    if (missing := MIN_HELD_OUT_POSITIVES - measurement.held_out_positives) > 0:
        more = numbers.counted(math.ceil(missing / HOLDOUT_SHARE), "more function")
        lines.append(f"More fixes in the period reserved for judging a run: in about {more}.")
    return lines


def _density(density: Density, threshold: Threshold) -> str:
    """Return how many functions with a fix separate the density from the threshold, at the mean signal they have."""
    reaches = density.value >= threshold.value
    gap = abs(threshold.value - density.value) * density.pairs
    if density.positives == 0:
        missing = numbers.counted(max(1, math.ceil(gap)), "function")
        return f"Fixes: at least {missing} of {density.pairs:,} would need one to reach the threshold."
    each = density.value * density.pairs / density.positives if density.value > 0 else 1.0
    if reaches:
        fewer, functions = math.floor(gap / each) + 1, numbers.counted(density.positives, "function")
        return f"If about {fewer:,} of the {functions} with a fix had none, the density would be below the threshold."
    more = math.ceil(gap / each)
    if more > density.pairs - density.positives:
        return "The density is so far below the threshold that even a fix in every function would not reach it."
    functions = numbers.counted(more, "more function")
    return (
        f"If about {functions} had a fix, on top of the {density.positives:,} that do, the density would reach the "
        "threshold."
    )


def _wording(measurement: Measurement) -> list[str]:
    """Return how to word fixes so that they count, if only commit subjects were read."""
    if measurement.diagnosis is not None and measurement.diagnosis.issues is not None:
        return []
    if not measurement.window_commits or measurement.evidence.get("issue") or measurement.evidence.get("label"):
        return []
    return [
        "Only commit subjects were read. A fix counts if its subject begins with `fix:` or contains a word such as "
        "fix, bug or regression; any other fix was missed."
    ]
