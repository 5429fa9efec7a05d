"""Fit the threshold to outcomes (docs/development/design.md, "Threshold rule") and measure how reliable it is.

outcomes -> points (the newest conclusive outcome of each repository) -> threshold -> band, leave-one-out, accuracy.
Pure; the result does not depend on the order of the outcomes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from pipeline.calibration.cut import Floats, Points, bootstrap_counts, leave_one_out_counts, place_cuts
from pipeline.calibration.win_curve import MIN_OUTCOMES, WinCurve, fit_win_curve
from pipeline.label_recipe import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from pipeline.records import AssayError, Outcome, Standing, Threshold

PUBLISHED_WEIGHT = 0.5
MEASURED_PER_CLASS = 10  # from here on published outcomes drop out
MIN_BAND = 0.15
BORROWED_BAND = 0.30
_Z_95 = 1.959963984540054

# Families of outcomes whose base model was not reported; they count for every family.
ANY_FAMILY = ("published", "unknown")

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `of`, with a 95 % Wilson interval."""

    right: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.of


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The leave-one-out prediction for a repository."""

    repo: str
    threshold: float | None  # None if no threshold can be fitted without it
    right: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, the points it was fitted on, and measures of its reliability."""

    label_recipe_id: str
    threshold: Threshold
    standing: Standing
    points: tuple[Outcome, ...]  # one per repository, densest first
    accuracy: Share | None  # on the points it was fitted to; None without points
    left_out: tuple[LeftOut, ...]  # in the order of `points`
    win_curve: WinCurve | None  # from 30 points on

    @property
    def version(self) -> str:
        """12 hexadecimal digits that identify threshold, band and points."""
        points = [_identity(point) for point in self.points]
        t = self.threshold
        canonical = json.dumps([self.label_recipe_id, t.value, t.band_low, t.band_high, t.source, points])
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _identity(point: Outcome) -> list[str | float]:
    identity: list[str | float] = [point.repo, point.density, point.outcome, point.provenance]
    return identity if point.weight == 1 else [*identity, point.weight]  # versions from before weights stay valid


def is_win(outcome: Outcome) -> bool:
    """Return whether an outcome is a WIN."""
    return outcome.outcome == "WIN"


def fit(
    outcomes: Sequence[Outcome],
    *,
    previous: float | None = None,
    seed_threshold: Threshold | None = None,
    label_recipe_id: str,
    cost_wrong_run: float = 1.0,
    cost_wrong_skip: float = 1.0,
    base_model_family: str | None = None,
) -> Calibration:
    """Fit the threshold of one label recipe, optionally restricted to one base-model family and published outcomes.

    `previous`, the current threshold, decides ties. `seed_threshold` is used if a class is missing (see `borrow` for a
    recipe without a seed); without it that raises AssayError.
    """
    for cost in (cost_wrong_run, cost_wrong_skip):
        if not (math.isfinite(cost) and cost > 0):
            raise AssayError(f"the cost of a wrong verdict must be a positive number, not {cost}")
    chosen = select_points(outcomes, label_recipe_id, base_model_family)
    points = _points(chosen, cost_wrong_run, cost_wrong_skip)
    if points.has_both_classes():
        threshold = _fitted(chosen, points, previous, seed_threshold)
    elif seed_threshold is not None:
        threshold = _as_fallback(seed_threshold)
    else:
        missing = "loss" if points.won.any() else "win"
        raise AssayError(
            f"no threshold for label recipe {label_recipe_id}: its calibration set has no {missing}; "
            "add an outcome with `assay calibration add`"
        )
    left_out = _leave_one_out(chosen, points, threshold, seed_threshold)
    return _describe(label_recipe_id, threshold, chosen, left_out)


def select_points(
    outcomes: Sequence[Outcome], label_recipe_id: str, base_model_family: str | None = None
) -> tuple[Outcome, ...]:
    """Return the newest conclusive outcome of each repository, densest first.

    Leaves out other label recipes and families, INCONCLUSIVE and excluded outcomes, and published ones once ten of
    each class have been measured here. Shared outcomes do not count towards those ten.
    """
    newest: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.label_recipe_id != label_recipe_id or not _counts(outcome, base_model_family):
            continue
        known = newest.get(outcome.repo)
        if known is None or _recency(outcome) > _recency(known):
            newest[outcome.repo] = outcome
    points = sorted(newest.values(), key=_densest_first)
    measured = [o for o in points if o.provenance == "measured"]
    wins = sum(map(is_win, measured))
    if min(wins, len(measured) - wins) >= MEASURED_PER_CLASS:
        return tuple(o for o in points if o.provenance != "published")
    return tuple(points)


def _densest_first(point: Outcome) -> tuple[float, bool, str, float, str]:
    """Sort by name last, so that renaming a repository changes no number."""
    return -point.density, is_win(point), point.provenance, point.weight, point.repo


def _counts(outcome: Outcome, base_model_family: str | None) -> bool:
    if outcome.outcome == "INCONCLUSIVE" or outcome.excluded_because:
        return False
    return base_model_family is None or outcome.base_model_family in (base_model_family, *ANY_FAMILY)


def _recency(outcome: Outcome) -> tuple[datetime, bool, float, str, str]:
    """Sort newest last; equal times are ordered by content, so that input order is irrelevant."""
    measured = outcome.provenance == "measured"
    return parse_time(outcome.decided_at), measured, outcome.density, outcome.outcome, repr(outcome)


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time, UTC by default; the empty text is older than any time. Raises AssayError."""
    if not text:
        return NEVER
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise AssayError(f"not a time in ISO 8601 (such as 2026-01-31T12:00:00Z): {text!r}") from None


def _points(chosen: Sequence[Outcome], cost_wrong_run: float, cost_wrong_skip: float) -> Points:
    weights = weights_of(chosen)
    won = np.array([is_win(o) for o in chosen], dtype=bool)
    densities = np.array([o.density for o in chosen], dtype=float)
    costs = weights * np.where(won, cost_wrong_skip, cost_wrong_run)
    return Points(densities, won, costs)


def weights_of(chosen: Sequence[Outcome]) -> Floats:
    """Return the weight of each outcome, shape (len(chosen),)."""
    return np.array([PUBLISHED_WEIGHT if o.provenance == "published" else o.weight for o in chosen], dtype=float)


def _fitted(
    chosen: Sequence[Outcome], points: Points, previous: float | None, seed_threshold: Threshold | None
) -> Threshold:
    value = float(place_cuts(points, np.ones((1, len(chosen))), previous)[0])
    # Ties of resamples go to the threshold just fitted, so that the band does not depend on the previous one.
    resamples = place_cuts(points, bootstrap_counts(points, BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED), value)
    low, high = np.percentile(resamples, [10, 90])
    spread = [float(low), float(high)] + [
        t for t in _left_out_thresholds(points, value, seed_threshold) if t is not None
    ]
    shipped = seed_threshold is not None and seed_threshold.source == "seed" and seed_threshold.value == value
    only_published = all(o.provenance == "published" for o in chosen)
    return Threshold(
        value=value,
        band_low=min(*spread, value * (1 - MIN_BAND)),
        band_high=max(*spread, value * (1 + MIN_BAND)),
        source="seed" if shipped and only_published else "calibration",
        separable=bool(points.densities[points.won].min() > points.densities[~points.won].max()),
    )


def _as_fallback(seed_threshold: Threshold) -> Threshold:
    return seed_threshold if seed_threshold.source == "borrowed" else replace(seed_threshold, source="seed")


def borrow(threshold: Threshold) -> Threshold:
    """Return the threshold of `messages` for a label recipe without outcomes, with a band of at least ±30 %."""
    return replace(
        threshold,
        band_low=min(threshold.band_low, threshold.value * (1 - BORROWED_BAND)),
        band_high=max(threshold.band_high, threshold.value * (1 + BORROWED_BAND)),
        source="borrowed",
    )


def _left_out_thresholds(points: Points, current: float, seed_threshold: Threshold | None) -> list[float | None]:
    """Return the threshold without each point in turn; if that empties a class, the seed's."""
    fallback = seed_threshold.value if seed_threshold else None
    size = len(points.densities)
    if not points.has_both_classes():
        return [fallback] * size
    wins = int(points.won.sum())
    alone = np.where(points.won, wins == 1, size - wins == 1)
    thresholds: list[float | None] = [fallback] * size
    kept = np.flatnonzero(~alone)
    if len(kept):
        cuts = place_cuts(points, leave_one_out_counts(size)[kept], current)
        for index, cut in zip(kept, cuts, strict=True):
            thresholds[index] = float(cut)
    return thresholds


def _leave_one_out(
    chosen: Sequence[Outcome], points: Points, threshold: Threshold, seed_threshold: Threshold | None
) -> tuple[LeftOut, ...]:
    """Predict each repository by the others; without a threshold the prediction counts as wrong."""
    thresholds = _left_out_thresholds(points, threshold.value, seed_threshold)
    return tuple(
        LeftOut(o.repo, t, t is not None and (o.density >= t) == is_win(o))
        for o, t in zip(chosen, thresholds, strict=True)
    )


def _describe(
    label_recipe_id: str, threshold: Threshold, chosen: tuple[Outcome, ...], left_out: tuple[LeftOut, ...]
) -> Calibration:
    inverted = [o for o in chosen if (o.density >= threshold.value) != is_win(o)]
    named = [o for o in chosen if o.provenance != "shared"]
    published = sum(o.provenance == "published" for o in chosen)
    standing = Standing(
        outcomes=len(chosen),
        published=published,
        measured=len(named) - published,
        leave_one_out=sum(left.right for left in left_out) / len(left_out) if left_out else None,
        winners=tuple((o.repo, o.density) for o in named if is_win(o)),
        losers=tuple((o.repo, o.density) for o in named if not is_win(o)),
        counterexamples=tuple(o.repo for o in inverted if o.provenance != "shared"),
        shared=len(chosen) - len(named),
    )
    accuracy = share(len(chosen) - len(inverted), len(chosen)) if chosen else None
    return Calibration(label_recipe_id, threshold, standing, chosen, accuracy, left_out, _win_curve(chosen))


def share(right: int, of: int) -> Share:
    """Return the share `right` / `of` (`of` at least 1) with its Wilson score interval (Wilson, JASA 22 (1927) 209)."""
    p, z2 = right / of, _Z_95**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z_95 * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    # The interval includes 0 or 1 exactly at the ends, which floating-point rounding would miss.
    return Share(right, of, 0.0 if right == 0 else centre - half, 1.0 if right == of else centre + half)


def _win_curve(chosen: Sequence[Outcome]) -> WinCurve | None:
    won = np.array([is_win(o) for o in chosen], dtype=bool)
    densities = np.array([o.density for o in chosen], dtype=float)
    if len(chosen) < MIN_OUTCOMES or won.all() or not won.any() or not (densities > 0).any():
        return None
    return fit_win_curve(densities, won, weights_of(chosen))
