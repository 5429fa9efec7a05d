"""P(win | log density): logistic regression on the outcomes, once there are enough of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_OUTCOMES = 30
_STEPS = 100
_CONVERGED = 1e-10


@dataclass(frozen=True, slots=True)
class WinCurve:
    """P(win) = 1 / (1 + exp(-(intercept + slope * ln density)))."""

    intercept: float
    slope: float
    smallest_density: float  # a density of 0 is read as this one

    def probability(self, density: float) -> float:
        """Return the probability of a win at a density."""
        score = self.intercept + self.slope * math.log(max(density, self.smallest_density))
        return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def fit_win_curve(densities: Floats, won: NDArray[np.bool_], weights: Floats) -> WinCurve:
    """Fit a weighted logistic regression on ln density with the ridge penalty slope^2 / 2, by Newton's method.

    The penalty is scikit-learn's default (C = 1, free intercept); it keeps the slope finite if the classes are
    separable. Densities of 0 are read as half the smallest positive one. All arrays have shape (n,). Raises ValueError
    unless there are both classes and a positive density.
    """
    positive = densities[densities > 0]
    if not len(positive) or won.all() or not won.any():
        raise ValueError("a win curve needs winners, losers and a positive density")
    smallest = float(positive.min()) / 2
    logs = np.log(np.maximum(densities, smallest))
    centre = float(logs.mean())  # centring improves conditioning and does not affect the penalty
    intercept, slope = _newton(logs - centre, won.astype(float), weights)
    return WinCurve(intercept - slope * centre, slope, smallest)


def _newton(x: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    beta = np.zeros(2)
    design = np.column_stack([np.ones_like(x), x])
    penalty = np.diag([0.0, 1.0])
    for _ in range(_STEPS):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (weights * (p - y)) + penalty @ beta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + penalty
        beta = _descend(beta, np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64), design, y, weights)
        if np.abs(gradient).max() < _CONVERGED:
            break
    return float(beta[0]), float(beta[1])


def _descend(beta: Floats, step: Floats, design: Floats, y: Floats, weights: Floats) -> Floats:
    """Take a Newton step, halved until the loss does not rise, since a full step can overshoot far from the optimum."""
    before = _loss(beta, design, y, weights)
    for _ in range(40):
        if _loss(beta - step, design, y, weights) <= before:
            return np.asarray(beta - step)
        step = step / 2
    return beta


def _loss(beta: Floats, design: Floats, y: Floats, weights: Floats) -> float:
    scores = design @ beta
    return float((weights * (np.logaddexp(0.0, scores) - y * scores)).sum() + beta[1] ** 2 / 2)


def _sigmoid(scores: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)))
