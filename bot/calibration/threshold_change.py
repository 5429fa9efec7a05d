"""What another threshold does to an installation's verdicts: a value, its JSON, and how it is found. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.store.verdicts import Standing
from pipeline.calibration.ledger_entries import parse_threshold
from pipeline.json_fields import Fields
from pipeline.records import Threshold

Flip = tuple[int, str, str]  # number of the repository, verdict before, verdict after


@dataclass(frozen=True)
class CalibrationChange:
    """One step of an installation's threshold, and the verdicts of its own repositories that it turned."""

    before: Threshold
    after: Threshold
    version_before: str
    version_after: str
    flipped: tuple[Flip, ...] = ()
    judged: int = 0  # repositories that have a verdict by this label recipe
    reason: str = ""  # why the outcome that was to bring it does not count; empty where it does

    @property
    def moved(self) -> bool:
        return self.before.value != self.after.value


def flips(verdicts: Sequence[Standing], before: Threshold, after: Threshold) -> tuple[Flip, ...]:
    """The repositories whose verdict differs between two thresholds of the label recipe that they were measured by."""
    found = ((standing, verdict(standing, before), verdict(standing, after)) for standing in verdicts)
    return tuple((standing.repository_id, was, now) for standing, was, now in found if was != now)


def verdict(standing: Standing, threshold: Threshold) -> str:
    runs = standing.measurable and standing.density is not None and standing.density >= threshold.value
    return "RUN" if runs else "SKIP"


def dump_change(change: CalibrationChange) -> dict[str, Any]:
    """What is stored beside the threshold that it led to, as JSON values."""
    return {
        "before": dataclasses.asdict(change.before),
        "version_before": change.version_before,
        "flipped": [list(flip) for flip in change.flipped],
        "judged": change.judged,
    }


def load_change(value: object, after: Threshold, version_after: str) -> CalibrationChange:
    """Raises MalformedError."""
    fields = Fields(value, "flips")
    rows = fields.rows("flipped", ("repository_id", "before", "after"))
    return CalibrationChange(
        before=parse_threshold(fields.inner("before")),
        after=after,
        version_before=fields.text("version_before"),
        version_after=version_after,
        flipped=tuple((row.whole("repository_id"), row.text("before"), row.text("after")) for row in rows),
        judged=fields.whole("judged"),
    )
