"""How much better one ranking is than another over several histories: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SEED = 20_260_101


@dataclass(frozen=True)
class Paired:
    """Differences of ρ, one a history."""

    histories: int
    mean: float
    low: float  # 95 % interval of the mean over resampled histories
    high: float
    wins: int  # histories in which the first ranking is better


def paired(differences: Sequence[float]) -> Paired:
    """Raises ValueError without any difference."""
    if not differences:
        raise ValueError("nothing to compare")
    values = np.asarray(differences, dtype=np.float64)
    drawn = np.random.Generator(np.random.PCG64(SEED)).integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return Paired(len(values), float(values.mean()), float(low), float(high), int((values > 0).sum()))
