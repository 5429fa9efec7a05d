"""The seed data shipped as seed.json and written by `assay calibration seed`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

from pipeline.calibration.published import PublishedFacts
from pipeline.calibration.seed_json import parse_seed
from pipeline.calibration.seed_records import Seed, SeedMeasurement, SeedRecord, fit_records
from pipeline.records import AssayError

__all__ = ["Seed", "SeedError", "SeedMeasurement", "SeedRecord", "assemble", "load_seed"]

RESOURCE = "seed.json"
EARLIER = ("seed_1.json",)  # measured under earlier versions of the label rules; never measured again


class SeedError(AssayError):
    """The seed data is missing, broken or incomplete."""


def assemble(facts: PublishedFacts, measurements: Mapping[str, SeedMeasurement], label_recipe_id: str) -> Seed:
    """Build the seed from measurements by published name. Raises SeedError if one is missing."""
    missing = [p.name for p in facts.repositories if p.name not in measurements]
    if missing:
        raise SeedError(f"not measured: {', '.join(missing)}")
    records = tuple(SeedRecord(p, measurements[p.name]) for p in facts.repositories)
    threshold = replace(fit_records(records, label_recipe_id).threshold, source="seed")
    return Seed(label_recipe_id, facts.published_as_of, threshold, records)


def load_seed() -> Seed:
    """Load the seed data shipped with this release. Raises SeedError if it is missing, MalformedError if broken."""
    return replace(_load(RESOURCE), earlier=tuple(map(_load, EARLIER)))


def _load(name: str) -> Seed:
    try:
        raw = (files("pipeline.calibration") / name).read_bytes()
    except OSError:
        raise SeedError(
            f"the seed data that ships with Assay (pipeline/calibration/{name}) is missing: reinstall Assay, or "
            "measure it with `assay calibration seed`"
        ) from None
    return parse_seed(raw, name)
