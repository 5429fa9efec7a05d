"""The threshold rule (docs/development/design.md, "Threshold rule"), vectorised over many sets of points.

The threshold itself, every leave-one-out set and all bootstrap resamples go through the same code, so they cannot
diverge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Costs and widths that differ only by floating-point rounding are ties.
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Points:
    """One density per repository, in any order, with the cost of a wrong verdict (weight × cost)."""

    densities: Floats  # (n,)
    won: NDArray[np.bool_]  # (n,)
    costs: Floats  # (n,)

    def has_both_classes(self) -> bool:
        """Return whether there are winners and losers."""
        return bool(self.won.any()) and not bool(self.won.all())


def place_cuts(points: Points, counts: Floats, previous: float | None) -> Floats:
    """Return the cut of each multiset of points, shape (sets,).

    `counts` has shape (sets, n) and says how often each point is in each set; every set must have both classes.
    A cut is the midpoint between two neighbouring distinct densities of its set that minimises the cost of winners
    below and losers above it. Of several such gaps it takes the widest, then the one nearest `previous`, then the
    lowest. If no cut costs less than a constant verdict, it is the midpoint of weakest winner and strongest loser.
    Separable sets need no special case, because only the gap between the classes costs nothing.
    """
    order = np.argsort(points.densities, kind="stable")
    distinct, starts = np.unique(points.densities[order], return_index=True)
    ordered, won, costs = counts[:, order], points.won[order], points.costs[order]
    wins = np.add.reduceat(ordered * np.where(won, costs, 0.0), starts, axis=1)
    losses = np.add.reduceat(ordered * np.where(won, 0.0, costs), starts, axis=1)
    present = np.add.reduceat(ordered, starts, axis=1) > 0

    missed_below = np.cumsum(wins, axis=1)
    wrong_above = losses.sum(axis=1, keepdims=True) - np.cumsum(losses, axis=1)
    upper = _next_present(distinct, present)
    gap = present & np.isfinite(upper)
    cost = np.where(gap, missed_below + wrong_above, np.inf)
    constant = np.minimum(wins.sum(axis=1), losses.sum(axis=1))

    cheapest = cost.min(axis=1)
    slack = _TIE * (wins.sum(axis=1) + losses.sum(axis=1))
    tied = cost <= (cheapest + slack)[:, None]
    with np.errstate(invalid="ignore"):
        middle = np.where(gap, (distinct + upper) / 2, np.inf)
        width = np.where(gap & tied, upper - distinct, -np.inf)
    tied &= width >= (width.max(axis=1) * (1 - _TIE))[:, None]
    chosen = _nearest(middle, tied, previous)
    beaten = cheapest < constant - slack
    return np.where(beaten, chosen, _inverted_midpoint(points, counts))


def _next_present(distinct: Floats, present: NDArray[np.bool_]) -> Floats:
    """Return for each set and density the next higher density in that set; infinity after the last."""
    in_set = np.where(present, distinct, np.inf)
    following = np.minimum.accumulate(in_set[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([following[:, 1:], np.full((len(present), 1), np.inf)], axis=1)


def _nearest(middle: Floats, tied: NDArray[np.bool_], previous: float | None) -> Floats:
    rows = np.arange(len(middle))
    if previous is None:
        return np.asarray(middle[rows, np.argmax(tied, axis=1)])
    distance = np.where(tied, np.abs(np.where(tied, middle, 0.0) - previous), np.inf)
    closest = distance.min(axis=1)
    near = distance <= (closest + _TIE * abs(previous))[:, None]  # argmax: the lowest of equally near ones
    return np.asarray(middle[rows, np.argmax(near, axis=1)])


def _inverted_midpoint(points: Points, counts: Floats) -> Floats:
    drawn = counts > 0
    weakest_winner = np.where(drawn & points.won, points.densities, np.inf).min(axis=1)
    strongest_loser = np.where(drawn & ~points.won, points.densities, -np.inf).max(axis=1)
    return np.asarray((weakest_winner + strongest_loser) / 2)


def leave_one_out_counts(size: int) -> Floats:
    """Return counts of shape (size, size) whose row i leaves out point i."""
    return np.asarray(1.0 - np.eye(size))


def bootstrap_counts(points: Points, resamples: int, seed: int) -> Floats:
    """Return counts of seeded, class-stratified resamples with replacement, shape (resamples, n)."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(points.densities)))
    for members in (np.flatnonzero(points.won), np.flatnonzero(~points.won)):
        counts[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return counts
