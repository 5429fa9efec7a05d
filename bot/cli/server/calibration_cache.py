"""The server's calibration set, cached for the worker until its files change."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime

import structlog

from bot.base_models import default_base_model, parse_base_models
from bot.calibration.calibration_source import CalibrationSource
from bot.cli.local.screen import effective_calibration_set
from bot.settings import Settings
from bot.store.database import Database
from bot.store.screenings import newest_label_recipe
from pipeline.calibration.calibration_set import CalibrationSet, adoption
from pipeline.calibration.ledger import amend, calibration_folder, load_calibration_set
from pipeline.calibration.seed import load_seed
from pipeline.label_recipe import RECIPES, LabelRecipe, by_messages

log = structlog.get_logger(__name__)

Stamp = tuple[tuple[str, int, int], ...]


def calibration_source(settings: Settings) -> CalibrationSource:
    """Create the calibrations of all installations. Raises AssayError for invalid settings of base models."""
    base_models = parse_base_models(settings.base_models)
    name = default_base_model(base_models, settings.base_model)
    family = base_models[name].family if name else ""
    return CalibrationSource(CachedCalibrationSet(settings), scope=settings.calibration_scope, family=family)


async def keep_label_recipe(settings: Settings, database: Database, now: datetime) -> None:
    """Keep the label recipe that this server measured with, where an upgrade brought another default.

    It is adopted unless one was: so the operator decides when verdicts change. Raises AssayError for a broken ledger.
    """
    async with database.read() as connection:
        used = RECIPES.get(await newest_label_recipe(connection) or "")
    if used is not None and await asyncio.to_thread(_adopt, settings, used, now):
        to_do = "assay calibration adopt --dry-run lists what the recipe of this release would change"
        log.warning("label_recipe_kept", label_recipe=used.name, to_do=to_do)


def _adopt(settings: Settings, used: LabelRecipe, now: datetime) -> bool:
    """Adopt a recipe unless it decides or any recipe is adopted. Return whether it was adopted."""
    folder, seed, at = calibration_folder(settings.data_dir), load_seed(), now.isoformat(timespec="seconds")
    known = load_calibration_set(folder, seed)
    if known.pinned or by_messages(used).id == seed.label_recipe_id:
        return False
    amend(folder, seed, at, lambda known: () if known.pinned else (adoption(seed, used.id, at),))
    return True


class CachedCalibrationSet:
    """A callable that returns the server's calibration set. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._set: CalibrationSet | None = None

    def __call__(self) -> CalibrationSet:
        """Return the current set. Raises AssayError if it pins a label recipe that this release lacks."""
        with self._lock:
            stamp = self._current_stamp()
            if self._set is None or stamp != self._stamp:
                self._set, self._stamp = effective_calibration_set(self._settings), stamp
            return self._set

    def _current_stamp(self) -> Stamp:
        """Return a value that changes with the calibration's files."""
        folder = calibration_folder(self._settings.data_dir)
        stats = ((path.name, path.stat()) for path in sorted(folder.glob("*")) if path.is_file())
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
