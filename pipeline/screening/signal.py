"""Curves from credit to signal (docs/development/design.md, "Signal"). Pure; arrays have one entry per function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Curve

Floats = NDArray[np.float64]


def scale_of(credits: Floats, top: int) -> float:
    """Return S = max(1, mean of the `top` largest credits), padding with zeros if there are fewer."""
    if len(credits) == 0:
        return 1.0
    largest = np.sort(credits)[::-1][:top]
    return max(1.0, math.fsum(largest) / top)


def signals(credits: Floats, touches: NDArray[Any], curve: Curve, top: int) -> Floats:
    """Return the signal of each function, in [0, 1]; without credit it is 0 under every curve.

    relative    c / S, at most 1, which means as fix-prone as the repository's `top` worst
    saturating  1 - 2^(-c)
    maximum     c / max(1, largest credit)
    share       c / number of landings that changed the function, at most 1
    presence    1 if there is any credit

    Raises ValueError for an unknown curve.
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
    raise ValueError(f"unknown curve: {curve}")
