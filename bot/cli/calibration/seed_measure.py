"""From a history to its seed record: the slow half of `assay calibration seed`, which imports mining."""

from __future__ import annotations

from bot.cli.output import Progress
from bot.cli.repository_source import default_jobs, open_source
from bot.settings import Settings
from pipeline.calibration.seed_records import SeedMeasurement
from pipeline.label_recipe import LabelRecipe
from pipeline.records import AssayError
from pipeline.screening.measure import measure, seed_measurement


def measure_history(source: str, recipe: LabelRecipe, settings: Settings, progress: Progress) -> SeedMeasurement:
    """Mine the history that a path or URL names under `recipe`; a URL is cloned into the data directory.

    Raises AssayError for one that cannot be read or has no functions.
    """
    repository = open_source(source, settings, progress)
    measured = measure(repository, recipe, data_dir=settings.data_dir, jobs=default_jobs(), progress=progress)
    if measured.density is None:
        raise AssayError(f"{measured.mined.repo} has no function at the beginning of its training window")
    return seed_measurement(measured, recipe)
