"""Seed records for tests: deterministic and overridable by field."""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.calibration.published import Published, PublishedFacts
from pipeline.calibration.seed import Seed, assemble
from pipeline.calibration.seed_records import CURVES, SAMPLES, SeedMeasurement
from pipeline.records import DAY_S, Density
from tests.builders.outcomes import RECIPE
from tests.builders.screenings import windows

PUBLISHED_AS_OF = 1_710_028_799  # 2024-03-09T23:59:59Z


def published(name: str = "one/one", won: bool = True, **changes: Any) -> Published:
    fields: dict[str, Any] = {
        "name": name,
        "language": "Python",
        "outcome": "win" if won else "loss",
        "history": name,
        "in_table": True,
        "density_class": "high" if won else "sparse",
    }
    return Published(**fields | changes)


def measurement(density: float = 0.06, pairs: int = 2_000, **changes: Any) -> SeedMeasurement:
    """A measurable history under RECIPE whose other curves and samples follow from `density`."""
    measured = Density(
        value=density,
        low=density * 0.9,
        high=density * 1.1,
        pairs=pairs,
        positives=pairs // 5,
        positive_share=0.2,
        file_positive_share=0.5,
        scale=2.5,
        curve="relative",
    )
    usual = SeedMeasurement(
        head_sha="5ca1ab1e" * 5,
        label_recipe_id=RECIPE,
        windows=windows(),
        commits=1_000,
        fix_commits=200,
        evidence={"prefix": 0.25, "keyword": 0.75},
        density=measured,
        curves={curve: density * (1 + index) for index, curve in enumerate(CURVES)},
        samples={curve: tuple(density * (1 + i / 100) for i in range(SAMPLES)) for curve in CURVES},
        functions_alive=2_500,
        held_out=1_000,
        held_out_positives=100,
    )
    return dataclasses.replace(usual, **changes)


def unmeasurable(density: float = 0.06, **changes: Any) -> SeedMeasurement:
    return measurement(density, held_out=48, held_out_positives=9, **changes)


# name, won, in the table, density: a separable table with one loser outside it that contradicts
USUAL = (
    ("win/one", True, True, 0.10),
    ("win/two", True, True, 0.06),
    ("loss/one", False, True, 0.03),
    ("loss/two", False, True, 0.02),
    ("extra/win", True, False, 0.08),
    ("extra/loss", False, False, 0.07),
)


def facts() -> PublishedFacts:
    rows = tuple(published(name, won, in_table=in_table) for name, won, in_table, _ in USUAL)
    return PublishedFacts(rows, PUBLISHED_AS_OF)


def seed(**measurements: SeedMeasurement) -> Seed:
    """The seed of USUAL; a measurement is replaced by its name with `/` written `_`, such as `win_two=...`."""
    chosen = {name: measurements.get(name.replace("/", "_"), measurement(value)) for name, _, _, value in USUAL}
    return assemble(facts(), chosen, RECIPE)


def day(days_before: float) -> int:
    """Seconds since 1970, that many days before the publication."""
    return int(PUBLISHED_AS_OF - days_before * DAY_S)
