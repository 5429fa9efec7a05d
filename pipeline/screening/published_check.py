"""Check the published outcomes against measured densities: verdicts, separation by curve, causes of disagreement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from pipeline.calibration.seed_records import CURVES, SAMPLES, Seed, SeedMeasurement, SeedRecord
from pipeline.calibration.threshold import Calibration
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import DAY_S, Curve, Verdict
from pipeline.screening.verdict import judge

YEAR_DAYS = 365.25
LONG_LAG_DAYS = 365.0
# A share or size that differs from its peers' median by this factor is named as a cause.
OUTLIER_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A published outcome and the verdict Assay would have given."""

    record: SeedRecord
    verdict: Verdict
    left_out_verdict: str | None  # by the threshold fitted on the others; None if the repository is not fitted
    left_out_threshold: float | None

    @property
    def won(self) -> bool:
        return self.record.published.outcome == "win"

    @property
    def agrees(self) -> bool:
        return (self.verdict.verdict == "RUN") == self.won


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a density separates winners from losers."""

    weakest_winner: str
    strongest_loser: str
    ratio: float  # of their densities: above 1 if separable, infinite if every loser has density 0
    errors: int  # outcomes on the wrong side of the best cut, which may also lie below or above all

    @property
    def separable(self) -> bool:
        return self.ratio > 1


SETS = ("table", "all", "rest")


@dataclass(frozen=True, slots=True)
class CurveCheck:
    """One curve on each of SETS, over all functions and on samples of 1,000 per repository."""

    curve: Curve
    whole: Mapping[str, Separation | None]  # None if a class is missing
    sampled: Mapping[str, tuple[Separation, ...]]
    size_correlation: float | None  # Spearman of density and log(pairs) over all repositories


def check(seed: Seed, calibration: Calibration) -> tuple[Checked, ...]:
    """Judge every record by `calibration`, and each fitted one by its leave-one-out threshold too."""
    left_out = {left.repo: left.threshold for left in calibration.left_out}
    return tuple(_check(record, calibration, left_out.get(record.published.name)) for record in seed.records)


def _check(record: SeedRecord, calibration: Calibration, threshold: float | None) -> Checked:
    measured = record.measured
    verdict = judge(measured.density, measured.windows, measured.held_out, measured.held_out_positives, calibration)
    if threshold is None:
        return Checked(record, verdict, None, None)
    runs = verdict.measurable and measured.density.value >= threshold
    return Checked(record, verdict, "RUN" if runs else "SKIP", threshold)


def lag_days(measured: SeedMeasurement, published_as_of: int) -> float:
    """Return how many days before `published_as_of` the mined history ends; 0 if it ends later."""
    return max(0.0, (published_as_of - measured.windows.as_of) / DAY_S)


def separate(points: Sequence[tuple[str, bool, float]]) -> Separation | None:
    """Return the separation of (name, won, density) triples, or None if a class is missing."""
    ordered = sorted(points, key=lambda point: (point[2], point[0]))
    winners, losers = [p for p in ordered if p[1]], [p for p in ordered if not p[1]]
    if not winners or not losers:
        return None
    weakest, strongest = winners[0], losers[-1]
    return Separation(
        weakest_winner=weakest[0],
        strongest_loser=strongest[0],
        ratio=weakest[2] / strongest[2] if strongest[2] > 0 else math.inf if weakest[2] > 0 else 1.0,
        errors=min(_errors(ordered, cut) for cut in (*(p[2] for p in ordered), math.inf)),
    )


def _errors(points: Sequence[tuple[str, bool, float]], cut: float) -> int:
    return sum((density >= cut) != won for _, won, density in points)


def check_curves(seed: Seed) -> tuple[CurveCheck, ...]:
    """Check every curve on three sets of repositories.

    "table" holds the fitted repositories, "all" those with enough held-out functions, and "rest" all but the
    counter-examples to the fitted threshold, a single one of which can hide how far apart the others lie.
    """
    counterexamples = set(seed.calibrate().standing.counterexamples)
    measurable = [record for record in seed.records if record.measured.calibrates]
    members = {
        "table": [record for record in measurable if record.calibrates],
        "all": measurable,
        "rest": [record for record in measurable if record.published.name not in counterexamples],
    }
    return tuple(_check_curve(curve, seed, members) for curve in CURVES)


def _check_curve(curve: Curve, seed: Seed, members: Mapping[str, Sequence[SeedRecord]]) -> CurveCheck:
    def separation(name: str, density: Callable[[SeedMeasurement], float]) -> Separation | None:
        return separate([(r.published.name, r.published.outcome == "win", density(r.measured)) for r in members[name]])

    def samples(name: str) -> tuple[Separation, ...]:
        drawn = [separation(name, lambda m, i=i: m.samples[curve][i]) for i in range(SAMPLES)]  # type: ignore[misc]
        return tuple(s for s in drawn if s is not None)

    densities = [record.measured.curves[curve] for record in seed.records]
    sizes = [math.log(record.measured.density.pairs) for record in seed.records]
    return CurveCheck(
        curve=curve,
        whole={name: separation(name, lambda m: m.curves[curve]) for name in SETS},
        sampled={name: samples(name) for name in SETS},
        size_correlation=spearman(densities, sizes),
    )


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Spearman's ρ with average ranks for ties, or None if a side is constant or has fewer than two values."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for position, value in enumerate(ordered, start=1):
        first.setdefault(value, position)
        last[value] = position
    return [(first[value] + last[value]) / 2 for value in values]


def likely_causes(checked: Checked, everyone: Sequence[Checked], published_as_of: int) -> tuple[str, ...]:
    """Return measured properties that may explain a disagreement, each a clause without a full stop.

    A cause is a property that sets the repository apart from its peers, the others with the same published outcome.
    """
    peers = [c.record.measured for c in everyone if c.won == checked.won and c is not checked]
    causes = [
        *_too_few_held_out(checked.record.measured),
        *_fix_share(checked, peers),
        *_size(checked, [c.record.measured for c in everyone if c is not checked]),
        *_lag(checked.record.measured, published_as_of),
        *_closeness(checked.verdict),
    ]
    return tuple(causes) or ("no measured property sets it apart: a counter-example to the rule",)


def _too_few_held_out(measured: SeedMeasurement) -> list[str]:
    if measured.held_out < MIN_HELD_OUT:
        return [f"a run cannot be judged: {measured.held_out:,} held-out functions; {MIN_HELD_OUT} are needed"]
    if measured.held_out_positives < MIN_HELD_OUT_POSITIVES:
        positives, needed = measured.held_out_positives, MIN_HELD_OUT_POSITIVES
        return [f"a run cannot be judged: {positives} of the held-out functions have a fix; {needed} are needed"]
    return []


def _fix_share(checked: Checked, peers: Sequence[SeedMeasurement]) -> list[str]:
    """Name fix evidence much rarer than among other winners, or much more frequent than among other losers."""
    if not peers:
        return []
    own, usual = checked.record.measured.fix_share, median(peer.fix_share for peer in peers)
    shares = f"{100 * own:.1f} % of the commits in its training window"
    if checked.won and own * OUTLIER_FACTOR <= usual:
        return [
            f"its commits name issues rather than fixes: only {shares} carry fix evidence in their message, against a "
            f"median of {100 * usual:.1f} % among the other published wins"
        ]
    if not checked.won and own >= usual * OUTLIER_FACTOR:
        return [
            f"its messages mention fixes more often than those of its peers: {shares} carry fix evidence, against a "
            f"median of {100 * usual:.1f} % among the other published losses"
        ]
    return []


def _size(checked: Checked, others: Sequence[SeedMeasurement]) -> list[str]:
    """Name an unusual size: the relative curve makes a large winner look sparse and a small loser dense."""
    density = checked.record.measured.density
    if density.curve != "relative" or not others:
        return []
    usual = median(other.density.pairs for other in others)
    if checked.won and density.pairs >= OUTLIER_FACTOR * usual:
        return [f"it is large ({density.pairs:,} pairs, median {usual:,.0f}), and a relative density falls with size"]
    if not checked.won and density.pairs * OUTLIER_FACTOR <= usual:
        return [
            f"it is small ({density.pairs:,} pairs, median {usual:,.0f}), and a relative density rises as size falls"
        ]
    return []


def _lag(measured: SeedMeasurement, published_as_of: int) -> list[str]:
    days = lag_days(measured, published_as_of)
    if days < LONG_LAG_DAYS:
        return []
    return [f"the mined history ends {days / YEAR_DAYS:.1f} years before the published one"]


def _closeness(verdict: Verdict) -> list[str]:
    return ["it is near the boundary, where a verdict can go either way"] if verdict.near_boundary else []
