"""The calibration in force, for a worker that judges often: read again only when somebody changed it."""

from __future__ import annotations

import threading

from bot.base_models import default_base_model, parse_base_models
from bot.calibration.calibration_source import CalibrationSource
from bot.cli.local.screen import effective_calibration_set
from bot.settings import Settings
from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.ledger import calibration_folder

Stamp = tuple[tuple[str, int, int], ...]


def calibration_source(settings: Settings) -> CalibrationSource:
    """Calibrations for every installation. Raises AssayError for a setting of base models that makes no sense."""
    base_models = parse_base_models(settings.base_models)
    name = default_base_model(base_models, settings.base_model)
    family = base_models[name].family if name else ""
    return CalibrationSource(CachedCalibrationSet(settings), scope=settings.calibration_scope, family=family)


class CachedCalibrationSet:
    """Called for the server's own calibration set; safe to be called from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._set: CalibrationSet | None = None

    def __call__(self) -> CalibrationSet:
        """Raises AssayError where a label recipe is pinned that this release has not."""
        with self._lock:
            stamp = self._look()
            if self._set is None or stamp != self._stamp:
                self._set, self._stamp = effective_calibration_set(self._settings), stamp
            return self._set

    def _look(self) -> Stamp:
        """What changes when the calibration's files do."""
        folder = calibration_folder(self._settings.data_dir)
        found = ((path.name, path.stat()) for path in sorted(folder.glob("*")) if path.is_file())
        return tuple((name, seen.st_mtime_ns, seen.st_size) for name, seen in found)
