"""Ledger entries for tests."""

from __future__ import annotations

from typing import Any

from pipeline.calibration.ledger_entries import Prediction
from tests.builders.outcomes import RECIPE

AT = "2026-03-01T12:00:00+00:00"


def prediction(repo: str = "a/a", density: float | None = 0.05, verdict: str = "RUN", **changes: Any) -> Prediction:
    fields: dict[str, Any] = {
        "at": AT,
        "repo": repo,
        "head_sha": "5ca1ab1e" * 5,
        "density": density,
        "density_low": None if density is None else density * 0.9,
        "density_high": None if density is None else min(1.0, density * 1.1),
        "threshold": 0.04,
        "threshold_version": "c0ffeec0ffee",
        "verdict": verdict,
        "measurable": True,
        "near_boundary": False,
        "label_recipe_id": RECIPE,
        "config_hash": "",
    }
    return Prediction(**fields | changes)
