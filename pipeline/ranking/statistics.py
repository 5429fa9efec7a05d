"""How good a ranking is, and how much better than another: point values, intervals, and why there is none.

Definitions are those of DESIGN.md section 2, "ρ". A label is a credit, 0 for most functions; a positive has more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm, rankdata

from pipeline.label_recipe import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from pipeline.ranking.bootstrap import Floats, correlate, resample
from pipeline.ranking.inspection import precision_at, recall_at_lines
from pipeline.ranking.outcome import is_win

INSPECTED_SHARE = 0.2  # of all lines
_SIGNIFICANCE, _POWER = 0.05, 0.8
_LEAST_USABLE = 0.9  # of the resamples; fewer and an interval would be one of the lucky ones


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """One scorer on one holdout. Where a value is none, `reason` says why."""

    n: int
    positives: int
    prevalence: float  # positives / n, 0 without a function
    rho: float | None = None
    rho_low: float | None = None  # 95 % intervals from the resamples
    rho_high: float | None = None
    rho_max: float | None = None  # the highest ρ that scores without ties can reach on these labels
    rho_share: float | None = None  # ρ / ρ_max
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    precision_at_10: float | None = None
    precision_at_20: float | None = None
    recall_at_20_percent: float | None = None  # of the lines
    reason: str = ""
    resampled_rho: Floats = field(default_factory=lambda: np.empty(0), repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Δρ of two scorers over the same holdout and the same resamples. Where a value is none, `reason` says why."""

    delta: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    smallest_detectable: float | None = None  # Δρ that would be seen with 80 % power at 5 %, two-sided
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
    """The quality of each scorer, by its name: all on the same functions, all under the same resamples of whole files.

    A score is higher where more risk is expected. Raises ValueError where lengths differ or a label is no credit.
    """
    credit = np.asarray(labels, dtype=np.float64)
    values = {name: np.asarray(s, dtype=np.float64) for name, s in scores.items()}
    if {credit.shape, (len(files),), (len(lines),), *(s.shape for s in values.values())} != {(len(files),)}:
        raise ValueError("scores, labels, files and lines differ in length")
    if not (np.isfinite(credit).all() and (credit >= 0).all()):
        raise ValueError("a label is negative or no number")
    reasons = {name: why_no_rho(s, credit) for name, s in values.items()}
    usable = {name: s for name, s in values.items() if not reasons[name]}
    drawn = _resampled(usable, credit, files, resamples, seed)
    known = _known(credit)
    measured = {
        name: _measured(known, s, credit, np.asarray(lines, dtype=np.float64), *drawn[name])
        for name, s in usable.items()
    }
    return {name: measured.get(name) or Quality(*known, reason=reasons[name]) for name in values}


def why_no_rho(scores: Floats, labels: Floats) -> str:
    """Why these scores have no rank correlation with these labels, empty where they have one."""
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
    """ρ_max = √(1 − Σ(t³ − t)/(n³ − n)) over the groups of equal labels, none for fewer than two labels.

    No scores without ties correlate better; scores with the same ties as the labels can.
    """
    n = float(len(labels))
    if n < 2:
        return None
    ties = np.unique(labels, return_counts=True)[1].astype(np.float64)
    return math.sqrt(max(0.0, 1 - float((ties**3 - ties).sum()) / (n**3 - n)))


def compare(scorer: Quality, other: Quality) -> Comparison:
    """ρ of the first less ρ of the second, which were assessed together."""
    if scorer.rho is None or other.rho is None:
        return Comparison(reason=scorer.reason or other.reason)
    delta = scorer.rho - other.rho
    differences = scorer.resampled_rho - other.resampled_rho
    usable = np.isfinite(differences)
    if len(usable) < 2 or usable.mean() < _LEAST_USABLE:
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
    """One score of several: the mean of their average ranks, scaled to (0, 1]. NaN in one is NaN in the mean."""
    ranks = [rankdata(s, method="average", nan_policy="propagate") for s in scores]
    return np.asarray(np.mean(ranks, axis=0) / max(len(ranks[0]), 1), dtype=np.float64)


_ONE_FILE = "all held-out functions stand in one file: no interval"
_TOO_FEW_USABLE = "the fixes are in too few files for an interval"


def _known(labels: Floats) -> tuple[int, int, float]:
    positives = int(np.count_nonzero(labels))
    return len(labels), positives, positives / len(labels) if len(labels) else 0.0


def _resampled(
    scores: Mapping[str, Floats], labels: Floats, files: Sequence[str], resamples: int, seed: int
) -> dict[str, tuple[Floats, Floats]]:
    """ρ and AUC of each scorer under each resample; empty where all functions stand in one file."""
    if not scores:
        return {}
    if len(set(files)) < 2:
        return {name: (np.empty(0), np.empty(0)) for name in scores}
    drawn = resample(list(scores.values()), labels, files, resamples=resamples, seed=seed)
    return dict(zip(scores, zip(drawn.rho, drawn.auc, strict=True), strict=True))


def _measured(
    known: tuple[int, int, float], scores: Floats, labels: Floats, lines: Floats, rhos: Floats, aucs: Floats
) -> Quality:
    point = correlate([scores], labels, np.ones((1, len(labels))))
    rho, auc = float(point.rho[0, 0]), float(point.auc[0, 0])
    rho_low, rho_high = _interval(rhos)
    auc_low, auc_high = _interval(aucs)
    rho_max = ceiling(labels)
    positive = labels > 0
    return Quality(
        *known,
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
    """The middle 95 % of the resamples; none where too many of them had nothing to compare."""
    usable = values[np.isfinite(values)]
    if not len(values) or len(usable) < _LEAST_USABLE * len(values):
        return None, None
    low, high = np.quantile(usable, [_SIGNIFICANCE / 2, 1 - _SIGNIFICANCE / 2])
    return float(low), float(high)
