"""A change of an installation's threshold and the verdicts it flips: value, JSON and comparison. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.calibration.ledger_records import NotCounted
from bot.store.verdicts import Standing
from pipeline.calibration.ledger_entries import parse_threshold
from pipeline.json_fields import Fields
from pipeline.records import Threshold

Flip = tuple[int, str, str]  # repository id, verdict before, verdict after


@dataclass(frozen=True)
class CalibrationChange:
    """One change of an installation's threshold, with the verdicts of its repositories that flipped."""

    before: Threshold
    after: Threshold
    version_before: str
    version_after: str
    flipped: tuple[Flip, ...] = ()
    judged: int = 0  # repositories with a verdict under this label recipe
    not_counted: NotCounted | None = None  # why the outcome does not count; None if it does

    @property
    def moved(self) -> bool:
        """Whether the threshold has a different value."""
        return self.before.value != self.after.value


def flips(verdicts: Sequence[Standing], before: Threshold, after: Threshold) -> tuple[Flip, ...]:
    """List the repositories whose verdict differs between two thresholds of the same label recipe."""
    both = ((standing, verdict(standing, before), verdict(standing, after)) for standing in verdicts)
    return tuple((standing.repository_id, was, now) for standing, was, now in both if was != now)


def verdict(standing: Standing, threshold: Threshold) -> str:
    """Return "RUN" or "SKIP"."""
    runs = standing.measurable and standing.density is not None and standing.density >= threshold.value
    return "RUN" if runs else "SKIP"


def dump_change(change: CalibrationChange) -> dict[str, Any]:
    """Return the JSON values that are stored with the new threshold."""
    return {
        "before": dataclasses.asdict(change.before),
        "version_before": change.version_before,
        "flipped": [list(flip) for flip in change.flipped],
        "judged": change.judged,
    }


def load_change(value: object, after: Threshold, version_after: str) -> CalibrationChange:
    """Parse a stored change. Raises MalformedError."""
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
