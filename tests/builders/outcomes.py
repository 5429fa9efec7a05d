"""Calibration points from a short spec, for tests.

outcomes("win a .06, loss b .03")            measured outcomes of a/a and b/b
outcomes("win a .06 published")              a published one
outcomes("INCONCLUSIVE a .06 @2026-01-02")   decided on that day
"""

from __future__ import annotations

from typing import Any

from pipeline.records import Outcome

RECIPE = "0123456789ab"
_KINDS = {"win": "WIN", "loss": "SOFT LOSS", "hard": "HARD LOSS", "INCONCLUSIVE": "INCONCLUSIVE"}


def outcome(kind: str = "win", name: str = "a", density: float = 0.06, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "repo": f"{name}/{name}",
        "density": density,
        "outcome": _KINDS[kind],
        "provenance": "measured",
        "label_recipe_id": RECIPE,
    }
    return Outcome(**fields | changes)


def outcomes(spec: str) -> list[Outcome]:
    found = []
    for line in spec.replace("\n", ",").split(","):
        if line.strip():
            kind, name, density, *rest = line.split()
            changes: dict[str, Any] = {"provenance": "published"} if "published" in rest else {}
            moments = [word[1:] for word in rest if word.startswith("@")]
            changes |= {"decided_at": moments[0]} if moments else {}
            found.append(outcome(kind, name, float(density), **changes))
    return found
