"""The calibration in force, for a worker that judges often: read again only when somebody changed it."""

from __future__ import annotations

import threading

from bot.cli.screen import calibration_in_force
from bot.settings import Settings
from pipeline.screening.calibration import Calibration
from pipeline.screening.ledger import calibration_folder

Stamp = tuple[tuple[str, int, int], ...]


class CalibrationInForce:
    """Called for the calibration; safe to be called from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._calibration: Calibration | None = None

    def __call__(self) -> Calibration:
        """Raises AssayError where another label recipe than this release's is pinned."""
        with self._lock:
            stamp = self._look()
            if self._calibration is None or stamp != self._stamp:
                self._calibration, self._stamp = calibration_in_force(self._settings), stamp
            return self._calibration

    def _look(self) -> Stamp:
        """What changes when the calibration's files do."""
        folder = calibration_folder(self._settings.data_dir)
        found = ((path.name, path.stat()) for path in sorted(folder.glob("*")) if path.is_file())
        return tuple((name, seen.st_mtime_ns, seen.st_size) for name, seen in found)
