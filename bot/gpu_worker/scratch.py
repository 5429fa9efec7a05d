"""Where a GPU worker keeps what a run reads and makes while it is at it: private, and gone afterwards.

A worker that was killed leaves its folder behind; the next one that starts here sees that nobody holds it, and
removes it.
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
    """A folder of this process alone within `parent`."""
    make_private(parent)
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_unless_held(left)
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
    folder = Path(tempfile.mkdtemp(prefix=f"run-{run_id}-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # another one is just beginning, or was killed just then
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
