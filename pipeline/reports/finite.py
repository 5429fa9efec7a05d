"""Check that JSON values contain only finite numbers."""

from __future__ import annotations

import math


def require_finite(name: str, value: object) -> None:
    """Raise ValueError that names the field for NaN or infinity in nested dicts and lists; JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is not a finite number: {value}")
    if isinstance(value, dict):
        for key, inner in value.items():
            require_finite(str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            require_finite(name, inner)
