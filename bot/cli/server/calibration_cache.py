"""The server's calibration set, cached for the worker until its files change."""

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
    """Create the calibrations of all installations. Raises AssayError for invalid settings of base models."""
    base_models = parse_base_models(settings.base_models)
    name = default_base_model(base_models, settings.base_model)
    family = base_models[name].family if name else ""
    return CalibrationSource(CachedCalibrationSet(settings), scope=settings.calibration_scope, family=family)


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
