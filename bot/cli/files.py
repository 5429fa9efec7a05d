"""Read files whole and write them atomically; `--html` and `--sarif` write to a file, or to stdout for `-`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.records import AssayError

STDOUT = Path("-")


def read_whole(path: Path, max_bytes: int) -> bytes:
    """Read a regular file. Raises AssayError if it is missing, not a file, or too large."""
    try:
        if path.exists() and not path.is_file():
            raise AssayError(f"{path} is not a file")
        with path.open("rb") as opened:
            raw = opened.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise AssayError(f"cannot read {path}: {_reason(error)}") from None
    if len(raw) > max_bytes:
        raise AssayError(f"{path} is larger than {max_bytes >> 20} MB")
    return raw


def write_whole(path: Path, text: str) -> None:
    """Write `text` as UTF-8 atomically: a crash leaves the old file or the new one.

    Raises AssayError if the folder is missing or the path is a folder; other OSErrors (a full disk) propagate.
    """
    require_writable(path)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def require_writable(path: Path) -> None:
    """Raise AssayError if `write_whole` would fail. Call this before long work."""
    if path.is_dir():
        raise AssayError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise AssayError(f"cannot write {path.name}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise AssayError(f"no permission to write to {path.parent}")


def check_report(option: str, path: Path | None, as_json: bool) -> None:
    """Check a report option before long work. Raises AssayError if the report cannot be written."""
    if path == STDOUT and as_json:
        raise AssayError(f"{option} - and --json would both write to stdout: give {option} a file")
    if path is not None and path != STDOUT:
        try:
            require_writable(path.absolute())
        except AssayError as error:
            raise AssayError(f"{option} {path}: {error}") from None


def write_report(path: Path | None, text: str) -> bool:
    """Write `text` if there is a path. Return whether it went to stdout, so that nothing else may be printed there."""
    if path == STDOUT:
        print(text.removesuffix("\n"))
        return True
    if path is not None:
        write_whole(path.absolute(), text)
    return False


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or "it cannot be opened"
