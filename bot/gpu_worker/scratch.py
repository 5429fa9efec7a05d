"""Private scratch folders of a GPU worker, removed afterwards.

A killed worker leaves its folder behind; the next worker that starts here finds it unlocked and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bot.disk.private_folders import make_private

_PREFIX: Final = "work-"
_LOCK: Final = ".lock"


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Create a locked folder of this process in `parent`, and remove folders that killed workers left there."""
    make_private(parent)
    for leftover in parent.glob(f"{_PREFIX}*"):
        _remove_unless_locked(leftover)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def run_folder(scratch: Path, run_id: int) -> Iterator[Path]:
    """Create a folder for one run."""
    folder = Path(tempfile.mkdtemp(prefix=f"run-{run_id}-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_locked(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # another worker is just creating it, or was killed while doing so
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
