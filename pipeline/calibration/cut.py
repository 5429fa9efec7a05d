"""Where to cut densities into RUN and SKIP: the threshold rule of DESIGN.md section 2, for many sets of points at once.

One vectorised rule serves the threshold itself, every leave-one-out set and all bootstrap resamples, so that they
cannot come to differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Sums and differences of floats that are equal on paper differ in the last digits; such costs and widths are ties.
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Points:
    """One density a repository, in any order, with what a wrong answer about it costs (weight x cost)."""

    densities: Floats  # (n,)
    won: NDArray[np.bool_]  # (n,)
    costs: Floats  # (n,)

    def has_both_classes(self) -> bool:
        return bool(self.won.any()) and not bool(self.won.all())


def place_cuts(points: Points, counts: Floats, previous: float | None) -> Floats:
    """The cut of each multiset of the points.

    `counts` has shape (sets, n): how often each point stands in each set. Every set must hold a winner and a loser.
    A cut lies in the middle between two neighbouring distinct densities of its set, where a winner below and a loser
    above cost least; of several such gaps the widest, then the one nearest `previous`, then the lowest. Where no cut
    costs less than answering the same always, it is the midpoint of weakest winner and strongest loser.
    Returns shape (sets,). Separable sets need no case of their own: the gap between the classes alone costs nothing.
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
    """For each set and density the next higher density in that set; infinity after the last."""
    standing = np.where(present, distinct, np.inf)
    following = np.minimum.accumulate(standing[:, ::-1], axis=1)[:, ::-1]
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
    """Shape (size, size): row i holds every point but the i-th."""
    return np.asarray(1.0 - np.eye(size))


def bootstrap_counts(points: Points, resamples: int, seed: int) -> Floats:
    """Class-stratified resamples with replacement, shape (resamples, n); the same seed gives the same resamples."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(points.densities)))
    for members in (np.flatnonzero(points.won), np.flatnonzero(~points.won)):
        counts[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return counts
