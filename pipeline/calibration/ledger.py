"""The ledger on disk: `ledger.jsonl` in the calibration folder of the data directory, one JSON object a line.

Lines are only ever added, under a file lock and synced to disk before the call returns. A crash in the middle of a
line leaves a last line without its end: readers pass over it and the next writer cuts it off. Damage anywhere else is
an error that names the line, never silently skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; there a single process at a time has to do
    fcntl = None  # type: ignore[assignment]

from pipeline.calibration.calibration_set import CalibrationSet, Change, adoption, change, replay
from pipeline.calibration.ledger_entries import (
    Adopted,
    Entry,
    Moved,
    Prediction,
    parse_entry,
    predict,
    render_entry,
    same_but_time,
)
from pipeline.calibration.seed_records import Seed
from pipeline.calibration.threshold import Calibration
from pipeline.json_fields import MalformedError
from pipeline.records import AssayError, Screening

FOLDER = "calibration"
LEDGER = "ledger.jsonl"
LOCK = "ledger.lock"
MOST_BYTES = 1 << 30


class LedgerError(AssayError):
    """The ledger cannot be read or written; the message says what to do."""


def calibration_folder(data_dir: Path) -> Path:
    return data_dir / FOLDER


def read_entries(folder: Path) -> tuple[Entry, ...]:
    """All entries, oldest first; none where there is no ledger yet. Changes nothing on disk.

    Raises LedgerError for a damaged line and for a file that cannot be read.
    """
    path = folder / LEDGER
    try:
        if path.stat().st_size > MOST_BYTES:
            raise LedgerError(f"{path} is larger than {MOST_BYTES >> 30} GB: move it away")
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
    """The length up to which lines are whole. A last line whose newline alone is missing is whole."""
    end = raw.rfind(b"\n") + 1
    # No proper prefix of a JSON object is one, so a tail that parses was written to its end.
    with suppress(MalformedError):
        parse_entry(raw[end:], "tail")
        return len(raw)
    return end


@dataclass
class OpenLedger:
    """The ledger under its lock: what was there, and a way to add to it."""

    folder: Path
    entries: tuple[Entry, ...]

    def append(self, *added: Entry) -> None:
        """Add entries, all or none but for a power cut, and sync.

        Raises OSError where the disk does not take them, MalformedError for what could not be read back.
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
    size, ending = _mend(descriptor, path)
    try:
        _write_at(descriptor, ending + lines, size)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    if size == 0:
        _sync_folder(path.parent)


def _mend(descriptor: int, path: Path) -> tuple[int, bytes]:
    """Cut off a torn last line; the size that is left, and the newline that it lacks, if it lacks one."""
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
    """Make the name of a new file as durable as its content; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def open_ledger(folder: Path) -> Iterator[OpenLedger]:
    """The ledger for reading and adding; other writers wait. Makes the folder.

    Raises LedgerError where the folder cannot be made or the ledger is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot write to {folder}: {error.strerror}; set ASSAY_DATA_DIR to another folder") from None
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # given back when the descriptor closes, however we end
        yield OpenLedger(folder, read_entries(folder))
    finally:
        os.close(descriptor)


def load_calibration_set(folder: Path, seed: Seed) -> CalibrationSet:
    """The calibration set as it stands, without writing anything."""
    return replay(read_entries(folder), seed)


def amend(
    folder: Path, seed: Seed, at: str, decide: Callable[[CalibrationSet], Sequence[Entry]]
) -> tuple[CalibrationSet, Change]:
    """Add what `decide` makes of the set as it stands, and the threshold that it moves to; the new set and the change.

    The first change pins the label recipe that decides: a release with another default does not replace it.
    Adds nothing where `decide` returns nothing.
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
    """Remember a verdict before its outcome is known; saying the same again adds nothing. `at` is ISO 8601."""
    prediction = predict(screening, calibration, at)
    with open_ledger(folder) as ledger:
        known = [e for e in ledger.entries if isinstance(e, Prediction) and e.repo == prediction.repo]
        if not known or not same_but_time(known[-1], prediction):
            ledger.append(prediction)
