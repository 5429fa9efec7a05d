"""The ledger on disk: `ledger.jsonl` in the calibration folder of the data directory, one JSON object per line.

The file is append-only; lines are written under a lock and synced to disk before the call returns. A crash in the
middle of a line leaves an incomplete last line, which readers skip and the next writer truncates. Any other damage is
an error that names the line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; only one process may use the ledger there
    fcntl = None  # type: ignore[assignment]

from pipeline.calibration.calibration_set import CalibrationSet, Change, adoption, change, replay
from pipeline.calibration.ledger_entries import (
    Adopted,
    Entry,
    Moved,
    Prediction,
    equal_except_time,
    parse_entry,
    predict,
    render_entry,
)
from pipeline.calibration.seed_records import Seed
from pipeline.calibration.threshold import Calibration
from pipeline.json_fields import MalformedError
from pipeline.records import AssayError, Screening

FOLDER = "calibration"
LEDGER = "ledger.jsonl"
LOCK = "ledger.lock"
MAX_BYTES = 1 << 30


class LedgerError(AssayError):
    """The ledger cannot be read or written; the message says what to do."""


def calibration_folder(data_dir: Path) -> Path:
    return data_dir / FOLDER


def read_entries(folder: Path) -> tuple[Entry, ...]:
    """Read all entries, oldest first; empty if there is no ledger yet.

    Raises LedgerError for a damaged line or an unreadable file.
    """
    path = folder / LEDGER
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LedgerError(f"{path} is larger than {MAX_BYTES >> 30} GB: move it away")
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {error.strerror}") from None
    return _parse(raw, path)


def _parse(raw: bytes, path: Path) -> tuple[Entry, ...]:
    lines = raw[: _whole_bytes(raw)].split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entries.append(parse_entry(line, f"line {number}"))
        except MalformedError as error:
            raise LedgerError(f"{path} is damaged ({error}): restore it from a backup, or move it away") from None
    return tuple(entries)


def _whole_bytes(raw: bytes) -> int:
    """Return the length of the complete lines; a last line that lacks only its newline is complete."""
    end = raw.rfind(b"\n") + 1
    # No proper prefix of a JSON object is valid, so a tail that parses was written completely.
    with suppress(MalformedError):
        parse_entry(raw[end:], "tail")
        return len(raw)
    return end


@dataclass
class OpenLedger:
    """The locked ledger: its entries, and a way to append."""

    folder: Path
    entries: tuple[Entry, ...]

    def append(self, *added: Entry) -> None:
        """Append entries and sync, all or none (except on power loss).

        Raises OSError if writing fails, MalformedError for an entry that could not be read back.
        """
        if not added:
            return
        lines = [render_entry(entry) for entry in added]
        for line in lines:
            parse_entry(line, "a new entry")
        path = self.folder / LEDGER
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _append(descriptor, path, b"".join(lines))
        finally:
            os.close(descriptor)
        self.entries += added


def _append(descriptor: int, path: Path, lines: bytes) -> None:
    size, newline = _repair(descriptor, path)
    try:
        _write_at(descriptor, newline + lines, size)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    if size == 0:
        _sync_folder(path.parent)


def _repair(descriptor: int, path: Path) -> tuple[int, bytes]:
    """Truncate an incomplete last line; return the remaining size and the newline to add first, if one is missing."""
    raw = path.read_bytes()
    whole = _whole_bytes(raw)
    if whole < len(raw):
        os.ftruncate(descriptor, whole)
    return whole, b"\n" if whole and raw[whole - 1 : whole] != b"\n" else b""


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    os.lseek(descriptor, offset, os.SEEK_SET)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    """Sync the directory entry of a new file, where the file system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def open_ledger(folder: Path) -> Iterator[OpenLedger]:
    """Open the ledger for appending and lock out other writers; create the folder if needed.

    Raises LedgerError if the folder cannot be created or the ledger is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot write to {folder}: {error.strerror}; set ASSAY_DATA_DIR to another folder") from None
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when the descriptor closes, even on a crash
        yield OpenLedger(folder, read_entries(folder))
    finally:
        os.close(descriptor)


def load_calibration_set(folder: Path, seed: Seed) -> CalibrationSet:
    """Load the current calibration set without writing anything."""
    return replay(read_entries(folder), seed)


def amend(
    folder: Path, seed: Seed, at: str, decide: Callable[[CalibrationSet], Sequence[Entry]]
) -> tuple[CalibrationSet, Change]:
    """Append the entries that `decide` returns for the current set, and the resulting threshold; return set and change.

    The first change pins the deciding label recipe, so that a release with another default does not replace it.
    Appends nothing if `decide` returns nothing.
    """
    with open_ledger(folder) as ledger:
        before = replay(ledger.entries, seed)
        added = list(decide(before))
        if added and not before.pinned and not any(isinstance(entry, Adopted) for entry in added):
            added.insert(0, adoption(seed, before.deciding, at))
        after = replay((*ledger.entries, *added), seed)
        changed = change(after.predictions, before.calibrate(), after.calibrate())
        if added:
            ledger.append(*added, _moved(changed.after, at))
    return after, changed


def _moved(calibration: Calibration, at: str) -> Moved:
    return Moved(at, calibration.label_recipe_id, calibration.threshold.value, calibration.version)


def record_prediction(folder: Path, screening: Screening, calibration: Calibration, at: str) -> None:
    """Append the prediction of a screening unless it repeats the last one of the repository. `at` is ISO 8601."""
    prediction = predict(screening, calibration, at)
    with open_ledger(folder) as ledger:
        known = [e for e in ledger.entries if isinstance(e, Prediction) and e.repo == prediction.repo]
        if not known or not equal_except_time(known[-1], prediction):
            ledger.append(prediction)
