"""Outcomes to a threshold: the mechanical rule of DESIGN.md section 2, and how far it can be believed.

outcomes -> points (one a repository, its newest conclusive outcome) -> threshold -> band, leave-one-out, accuracy.
Pure functions of outcomes: the same set in any order gives the same calibration.
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
from pipeline.calibration.win_curve import FEWEST_OUTCOMES, WinCurve, fit_win_curve
from pipeline.label_recipe import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from pipeline.records import AssayError, Outcome, Standing, Threshold

PUBLISHED_WEIGHT = 0.5
MEASURED_OF_EACH_CLASS = 10  # from here on published outcomes are out
LEAST_BAND = 0.15
BORROWED_BAND = 0.30
_Z_95 = 1.959963984540054

# Families of outcomes of which nobody said what was fine-tuned: they count beside those of any family.
OF_ANY_FAMILY = ("published", "unknown")

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
    """What the rule says about a repository when it has never seen it."""

    repo: str
    threshold: float | None  # none where nothing is left to answer with
    right: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold with everything it was made of and everything that speaks for or against it."""

    label_recipe_id: str
    threshold: Threshold
    standing: Standing
    points: tuple[Outcome, ...]  # one a repository, densest first
    accuracy: Share | None  # of the threshold on the points it was fitted to; none without points
    left_out: tuple[LeftOut, ...]  # in the order of `points`
    win_curve: WinCurve | None  # from 30 points on

    @property
    def version(self) -> str:
        """12 hexadecimal digits that name threshold, band and the points under them."""
        points = [_named(point) for point in self.points]
        t = self.threshold
        canonical = json.dumps([self.label_recipe_id, t.value, t.band_low, t.band_high, t.source, points])
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _named(point: Outcome) -> list[str | float]:
    named: list[str | float] = [point.repo, point.density, point.outcome, point.provenance]
    return named if point.weight == 1 else [*named, point.weight]


def is_win(outcome: Outcome) -> bool:
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
    """The threshold of one label recipe (and of one base-model family with the published outcomes, where given).

    `previous` is the threshold in force, which decides ties; `seed_threshold` answers where a class is missing (see
    `borrow` for a recipe without a seed). Raises AssayError where a class is missing and there is no seed threshold.
    """
    for cost in (cost_wrong_run, cost_wrong_skip):
        if not (math.isfinite(cost) and cost > 0):
            raise AssayError(f"the cost of a wrong verdict must be a positive number, not {cost}")
    chosen = select_points(outcomes, label_recipe_id, base_model_family)
    points = _points(chosen, cost_wrong_run, cost_wrong_skip)
    if points.has_both_classes():
        threshold = _fitted(chosen, points, previous, seed_threshold)
    elif seed_threshold is not None:
        threshold = _standing_in(seed_threshold)
    else:
        missing = "loss" if points.won.any() else "win"
        raise AssayError(
            f"no threshold for label recipe {label_recipe_id}: its calibration set has not one {missing}; "
            "add an outcome with `assay calibration add`"
        )
    left_out = _leave_one_out(chosen, points, threshold, seed_threshold)
    return _describe(label_recipe_id, threshold, chosen, left_out)


def select_points(
    outcomes: Sequence[Outcome], label_recipe_id: str, base_model_family: str | None = None
) -> tuple[Outcome, ...]:
    """One outcome a repository, its newest conclusive one, densest first.

    Left out: other label recipes and families, INCONCLUSIVE, outcomes that an operator excluded, and published ones
    once ten outcomes of each class were measured here: what others share replaces nothing.
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
    if min(wins, len(measured) - wins) >= MEASURED_OF_EACH_CLASS:
        return tuple(o for o in points if o.provenance != "published")
    return tuple(points)


def _densest_first(point: Outcome) -> tuple[float, bool, str, float, str]:
    """The name comes last: among points that only it tells apart, another name changes no number."""
    return -point.density, is_win(point), point.provenance, point.weight, point.repo


def _counts(outcome: Outcome, base_model_family: str | None) -> bool:
    if outcome.outcome == "INCONCLUSIVE" or outcome.excluded_because:
        return False
    return base_model_family is None or outcome.base_model_family in (base_model_family, *OF_ANY_FAMILY)


def _recency(outcome: Outcome) -> tuple[datetime, bool, float, str, str]:
    """Newest last; equal times are ordered by content, so that the order of the set decides nothing."""
    measured = outcome.provenance == "measured"
    return decided(outcome.decided_at), measured, outcome.density, outcome.outcome, repr(outcome)


def decided(moment: str) -> datetime:
    """The time of an outcome; one without a time is older than any other. Raises AssayError for another text."""
    if not moment:
        return NEVER
    try:
        at = datetime.fromisoformat(moment)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise AssayError(f"not a time in ISO 8601 (such as 2026-01-31T12:00:00Z): {moment!r}") from None


def _points(chosen: Sequence[Outcome], cost_wrong_run: float, cost_wrong_skip: float) -> Points:
    weights = weights_of(chosen)
    won = np.array([is_win(o) for o in chosen], dtype=bool)
    densities = np.array([o.density for o in chosen], dtype=float)
    costs = weights * np.where(won, cost_wrong_skip, cost_wrong_run)
    return Points(densities, won, costs)


def weights_of(chosen: Sequence[Outcome]) -> Floats:
    return np.array([PUBLISHED_WEIGHT if o.provenance == "published" else o.weight for o in chosen], dtype=float)


def _fitted(
    chosen: Sequence[Outcome], points: Points, previous: float | None, seed_threshold: Threshold | None
) -> Threshold:
    value = float(place_cuts(points, np.ones((1, len(chosen))), previous)[0])
    # Ties of resamples go to the threshold just fitted: a band must not depend on the threshold before it.
    resamples = place_cuts(points, bootstrap_counts(points, BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED), value)
    low, high = np.percentile(resamples, [10, 90])
    spread = [float(low), float(high)] + [
        t for t in _left_out_thresholds(points, value, seed_threshold) if t is not None
    ]
    shipped = seed_threshold is not None and seed_threshold.source == "seed" and seed_threshold.value == value
    only_published = all(o.provenance == "published" for o in chosen)
    return Threshold(
        value=value,
        band_low=min(*spread, value * (1 - LEAST_BAND)),
        band_high=max(*spread, value * (1 + LEAST_BAND)),
        source="seed" if shipped and only_published else "calibration",
        separable=bool(points.densities[points.won].min() > points.densities[~points.won].max()),
    )


def _standing_in(seed_threshold: Threshold) -> Threshold:
    return seed_threshold if seed_threshold.source == "borrowed" else replace(seed_threshold, source="seed")


def borrow(threshold: Threshold) -> Threshold:
    """The threshold of another label recipe (`messages`), for one that has no outcomes: its band at least ±30 %."""
    return replace(
        threshold,
        band_low=min(threshold.band_low, threshold.value * (1 - BORROWED_BAND)),
        band_high=max(threshold.band_high, threshold.value * (1 + BORROWED_BAND)),
        source="borrowed",
    )


def _left_out_thresholds(points: Points, in_force: float, seed_threshold: Threshold | None) -> list[float | None]:
    """The threshold without each point in turn; where that empties a class, the seed's, as the rule says."""
    fallback = seed_threshold.value if seed_threshold else None
    size = len(points.densities)
    if not points.has_both_classes():
        return [fallback] * size
    wins = int(points.won.sum())
    alone = np.where(points.won, wins == 1, size - wins == 1)
    thresholds: list[float | None] = [fallback] * size
    kept = np.flatnonzero(~alone)
    if len(kept):
        cuts = place_cuts(points, leave_one_out_counts(size)[kept], in_force)
        for index, cut in zip(kept, cuts, strict=True):
            thresholds[index] = float(cut)
    return thresholds


def _leave_one_out(
    chosen: Sequence[Outcome], points: Points, threshold: Threshold, seed_threshold: Threshold | None
) -> tuple[LeftOut, ...]:
    """A repository that nothing is left to judge by is not got right."""
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
    """`right` of `of` (at least 1) with its Wilson score interval (Wilson, JASA 22 (1927) 209)."""
    p, z2 = right / of, _Z_95**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z_95 * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    # At the ends the interval reaches the end exactly; floats miss it by a last digit.
    return Share(right, of, 0.0 if right == 0 else centre - half, 1.0 if right == of else centre + half)


def _win_curve(chosen: Sequence[Outcome]) -> WinCurve | None:
    won = np.array([is_win(o) for o in chosen], dtype=bool)
    densities = np.array([o.density for o in chosen], dtype=float)
    if len(chosen) < FEWEST_OUTCOMES or won.all() or not won.any() or not (densities > 0).any():
        return None
    return fit_win_curve(densities, won, weights_of(chosen))
