"""Quality of rankings and differences between them, with intervals, or the reason why there are none.

docs/development/design.md, "ρ", defines the measures. A label is a credit: 0 for most functions, more for positives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pipeline.label_recipe import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from pipeline.ranking.bootstrap import Floats, correlate, resample
from pipeline.ranking.outcome import is_win

INSPECTED_SHARE = 0.2  # of all lines
_SIGNIFICANCE, _POWER = 0.05, 0.8
_MIN_USABLE_SHARE = 0.9  # of the resamples; an interval from fewer would be biased towards defined ones


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Quality of one scorer on one holdout. If a value is None, `reason` says why."""

    n: int
    positives: int
    prevalence: float  # positives / n; 0 without functions
    rho: float | None = None
    rho_low: float | None = None  # 95 % intervals from the resamples
    rho_high: float | None = None
    rho_max: float | None = None  # the highest ρ that untied scores can reach on these labels
    rho_share: float | None = None  # ρ / ρ_max
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    precision_at_10: float | None = None
    precision_at_20: float | None = None
    recall_at_20_percent: float | None = None  # of lines
    reason: str = ""
    resampled_rho: Floats = field(default_factory=lambda: np.empty(0), repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Δρ of two scorers on the same holdout and resamples. If a value is None, `reason` says why."""

    delta: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    smallest_detectable: float | None = None  # Δρ detectable with 80 % power at a two-sided 5 % level
    win_share: float | None = None  # of the resamples in which the first scorer wins
    reason: str = ""


def assess(
    scores: Mapping[str, Sequence[float] | Floats],
    labels: Sequence[float] | Floats,
    files: Sequence[str],
    lines: Sequence[int],
    *,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> dict[str, Quality]:
    """Return the quality of each scorer by name, all on the same functions and the same resamples of whole files.

    Higher scores mean higher risk. Raises ValueError if lengths differ or a label is negative or not finite.
    """
    credit = np.asarray(labels, dtype=np.float64)
    values = {name: np.asarray(s, dtype=np.float64) for name, s in scores.items()}
    if {credit.shape, (len(files),), (len(lines),), *(s.shape for s in values.values())} != {(len(files),)}:
        raise ValueError("scores, labels, files and lines differ in length")
    if not (np.isfinite(credit).all() and (credit >= 0).all()):
        raise ValueError("a label is negative or not a number")
    reasons = {name: why_no_rho(s, credit) for name, s in values.items()}
    usable = {name: s for name, s in values.items() if not reasons[name]}
    drawn = _resample(usable, credit, files, resamples, seed)
    counts = _counts(credit)
    qualities = {
        name: _quality(counts, s, credit, np.asarray(lines, dtype=np.float64), *drawn[name])
        for name, s in usable.items()
    }
    return {name: qualities.get(name) or Quality(*counts, reason=reasons[name]) for name in values}


def why_no_rho(scores: Floats, labels: Floats) -> str:
    """Return why these scores have no rank correlation with these labels; empty if they have one."""
    n = len(labels)
    unusable = int(np.count_nonzero(~np.isfinite(scores)))
    if n < 2:
        return f"{n or 'no'} held-out function{'s' if n != 1 else ''}: nothing to rank"
    if unusable:
        return f"{unusable} of {n} scores are not numbers"
    if not labels.any():
        return f"none of the {n} held-out functions was fixed: nothing to find"
    if (labels == labels[0]).all():
        return f"all {n} labels are equal: nothing to find"
    if (scores == scores[0]).all():
        return f"all {n} scores are equal: no ranking"
    return ""


def ceiling(labels: Floats) -> float | None:
    """Return ρ_max = √(1 − Σ(t³ − t)/(n³ − n)) over groups of t equal labels, or None for fewer than two labels.

    It bounds scores without ties; scores with the same ties as the labels can exceed it.
    """
    n = float(len(labels))
    if n < 2:
        return None
    ties = np.unique(labels, return_counts=True)[1].astype(np.float64)
    return math.sqrt(max(0.0, 1 - float((ties**3 - ties).sum()) / (n**3 - n)))


def compare(scorer: Quality, other: Quality) -> Comparison:
    """Compare ρ of two scorers that were assessed together: first minus second."""
    if scorer.rho is None or other.rho is None:
        return Comparison(reason=scorer.reason or other.reason)
    delta = scorer.rho - other.rho
    differences = scorer.resampled_rho - other.resampled_rho
    usable = np.isfinite(differences)
    if len(usable) < 2 or usable.mean() < _MIN_USABLE_SHARE:
        return Comparison(delta, reason=scorer.reason or other.reason or _TOO_FEW_USABLE)
    low, high = np.quantile(differences[usable], [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2])
    standard_error = float(differences[usable].std(ddof=1))
    wins = [
        is_win(a, d) for a, d in zip(scorer.resampled_rho[usable].tolist(), differences[usable].tolist(), strict=True)
    ]
    return Comparison(
        delta=delta,
        low=float(low),
        high=float(high),
        smallest_detectable=float(norm.ppf(1 - _SIGNIFICANCE / 2) + norm.ppf(_POWER)) * standard_error,
        win_share=sum(wins) / len(wins),
    )


def rank_average(scores: Sequence[Sequence[float] | Floats]) -> Floats:
    """Combine scores into the mean of their average ranks, scaled to (0, 1]. NaN in any score propagates."""
    ranks = [rankdata(s, method="average", nan_policy="propagate") for s in scores]
    return np.asarray(np.mean(ranks, axis=0) / max(len(ranks[0]), 1), dtype=np.float64)


class _TieGroups(NamedTuple):
    """Groups of equal score, best first."""

    sizes: Floats
    positives: Floats


def precision_at(count: int, scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Return the share of positives among the top `count` functions, averaged over tie orders; None with fewer."""
    if len(scores) < count:
        return None
    return _positives_within(_tie_groups(scores, np.ones(len(scores)), positive), float(count)) / count


def recall_at_lines(share: float, scores: Floats, positive: NDArray[np.bool_], lines: Floats) -> float | None:
    """Return the share of positives found by reading `share` of all lines, best score first; None without positives.

    Ties are averaged over all orders. The function in which the budget ends counts in proportion to the part read.
    """
    if not positive.any():
        return None
    return _positives_within(_tie_groups(scores, lines, positive), share * float(lines.sum())) / float(positive.sum())


def _tie_groups(scores: Floats, sizes: Floats, positive: NDArray[np.bool_]) -> _TieGroups:
    _, group = np.unique(-scores, return_inverse=True)
    sums = (np.bincount(group, weights=values).astype(np.float64) for values in (sizes, positive.astype(np.float64)))
    return _TieGroups(*sums)


def _positives_within(groups: _TieGroups, budget: float) -> float:
    """Return the positives within a size budget, spread evenly over each tie group."""
    before = np.cumsum(groups.sizes) - groups.sizes
    read = np.clip((budget - before) / np.maximum(groups.sizes, 1e-9), 0, 1)
    return float((read * groups.positives).sum())


_ONE_FILE = "all held-out functions are in one file: no interval"
_TOO_FEW_USABLE = "the fixes are in too few files for an interval"


def _counts(labels: Floats) -> tuple[int, int, float]:
    positives = int(np.count_nonzero(labels))
    return len(labels), positives, positives / len(labels) if len(labels) else 0.0


def _resample(
    scores: Mapping[str, Floats], labels: Floats, files: Sequence[str], resamples: int, seed: int
) -> dict[str, tuple[Floats, Floats]]:
    """Return ρ and AUC of each scorer per resample; empty if all functions are in one file."""
    if not scores:
        return {}
    if len(set(files)) < 2:
        return {name: (np.empty(0), np.empty(0)) for name in scores}
    drawn = resample(list(scores.values()), labels, files, resamples=resamples, seed=seed)
    return dict(zip(scores, zip(drawn.rho, drawn.auc, strict=True), strict=True))


def _quality(
    counts: tuple[int, int, float], scores: Floats, labels: Floats, lines: Floats, rhos: Floats, aucs: Floats
) -> Quality:
    point = correlate([scores], labels, np.ones((1, len(labels))))
    rho, auc = float(point.rho[0, 0]), float(point.auc[0, 0])
    rho_low, rho_high = _interval(rhos)
    auc_low, auc_high = _interval(aucs)
    rho_max = ceiling(labels)
    positive = labels > 0
    return Quality(
        *counts,
        rho=rho,
        rho_low=rho_low,
        rho_high=rho_high,
        rho_max=rho_max,
        rho_share=rho / rho_max if rho_max else None,
        auc=auc if math.isfinite(auc) else None,
        auc_low=auc_low,
        auc_high=auc_high,
        precision_at_10=precision_at(10, scores, positive),
        precision_at_20=precision_at(20, scores, positive),
        recall_at_20_percent=recall_at_lines(INSPECTED_SHARE, scores, positive, lines),
        reason="" if rho_low is not None else _ONE_FILE if not len(rhos) else _TOO_FEW_USABLE,
        resampled_rho=rhos,
    )


def _interval(values: Floats) -> tuple[float | None, float | None]:
    """Return the middle 95 % of the resamples, or None if too many of them are undefined."""
    usable = values[np.isfinite(values)]
    if not len(values) or len(usable) < _MIN_USABLE_SHARE * len(values):
        return None, None
    low, high = np.quantile(usable, [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2])
    return float(low), float(high)
