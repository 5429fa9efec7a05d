"""Files that are read whole and written all or nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.records import AssayError


def read_whole(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file. Raises AssayError for one that is not there, not a file, or too large."""
    try:
        if path.exists() and not path.is_file():
            raise AssayError(f"{path} is not a file")
        with path.open("rb") as opened:
            raw = opened.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        raise AssayError(f"cannot read {path}: {_reason(error)}") from None
    if len(raw) > most_bytes:
        raise AssayError(f"{path} is larger than {most_bytes >> 20} MB")
    return raw


def write_whole(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in one step: a crash leaves the old file or the new one, never half of one.

    Raises AssayError where the folder is missing or the path is a folder; other OSErrors (a full disk) pass through.
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
    """Raises AssayError where `write_whole` could not write: better said before long work than after."""
    if path.is_dir():
        raise AssayError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise AssayError(f"there is no folder {path.parent} to write {path.name} in")
    if not os.access(path.parent, os.W_OK):
        raise AssayError(f"no permission to write in {path.parent}")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or "it cannot be opened"
