"""What is found by inspecting functions from the top of a ranking; ties count as a random order does on average."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.bootstrap import Floats


class _Groups(NamedTuple):
    """Functions of equal score, best first."""

    sizes: Floats
    positives: Floats


def precision_at(count: int, scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Share of positives among the `count` functions of highest score; none with fewer functions."""
    if len(scores) < count:
        return None
    found = _found(_groups(scores, np.ones(len(scores)), positive), float(count))
    return found / count


def recall_at_lines(share: float, scores: Floats, positive: NDArray[np.bool_], lines: Floats) -> float | None:
    """Share of the positives found by reading `share` of all lines, best score first; none without a positive.

    The function at which the budget ends counts by the part of it that was read.
    """
    if not positive.any():
        return None
    found = _found(_groups(scores, lines, positive), share * float(lines.sum()))
    return found / float(positive.sum())


def _groups(scores: Floats, sizes: Floats, positive: NDArray[np.bool_]) -> _Groups:
    _, group = np.unique(-scores, return_inverse=True)
    sums = (np.bincount(group, weights=values).astype(np.float64) for values in (sizes, positive.astype(np.float64)))
    return _Groups(*sums)


def _found(groups: _Groups, budget: float) -> float:
    """Positives within the budget of size, spread evenly over a group."""
    before = np.cumsum(groups.sizes) - groups.sizes
    read = np.clip((budget - before) / np.maximum(groups.sizes, 1e-9), 0, 1)
    return float((read * groups.positives).sum())
