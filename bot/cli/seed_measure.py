"""From a history to its seed record: the slow half of `assay calibration seed`, which imports mining."""

from __future__ import annotations

from pathlib import Path

from bot.cli.output import Progress
from pipeline.mining.repository import open_repository
from pipeline.recipe import LabelRecipe
from pipeline.records import AssayError
from pipeline.screening.measure import measure, seed_measurement
from pipeline.screening.seed_records import SeedMeasurement


def measure_history(folder: Path, recipe: LabelRecipe, progress: Progress) -> SeedMeasurement:
    """Mine one history under `recipe`. Raises AssayError for one that cannot be read or has no functions."""
    measured = measure(open_repository(folder), recipe, progress=progress)
    if measured.density is None:
        raise AssayError(f"{measured.mined.repo} has no function at the beginning of its training window")
    return seed_measurement(measured, recipe)


def clone(url: str, data_dir: Path, progress: Progress) -> Path:
    """A bare clone of `url` in the data directory, brought up to date where there is one."""
    raise AssayError(f"{url} is not on this machine: name a folder of clones with --from")
