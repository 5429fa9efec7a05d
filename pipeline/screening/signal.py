"""Credit to signal: the curves (DESIGN.md section 2, "Signal"). Pure; arrays have one entry a function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Curve

Floats = NDArray[np.float64]


def scale_of(credits: Floats, top: int) -> float:
    """S = max(1, mean of the `top` largest credits, zeros counted where there are fewer)."""
    if len(credits) == 0:
        return 1.0
    largest = np.sort(credits)[::-1][:top]
    return max(1.0, math.fsum(largest) / top)


def signals(credits: Floats, touches: NDArray[Any], curve: Curve, top: int) -> Floats:
    """Signal in [0, 1] of each function; no credit at all gives 0 under every curve.

    relative    c / S, at most 1: 1 is as fix-prone as the repository's `top` worst
    saturating  1 - 2^(-c)
    maximum     c over the largest credit (at least 1)
    share       c over the landings that changed the function, at most 1
    presence    1 where there is any credit
    """
    if curve == "relative":
        return np.asarray(np.minimum(1.0, credits / scale_of(credits, top)))
    if curve == "saturating":
        return np.asarray(1.0 - np.exp2(-credits))
    if curve == "maximum":
        return np.asarray(credits / max(1.0, float(credits.max(initial=0.0))))
    if curve == "share":
        return np.asarray(np.minimum(1.0, credits / np.maximum(1, touches)))
    if curve == "presence":
        return (credits > 0).astype(np.float64)
    raise ValueError(f"no such curve: {curve}")
