"""Create, measure and delete folders that are private to this user, never following a link out of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_TRIES = 5


def size_bytes(folder: Path) -> int:
    """Return the total size of all readable files below a folder. Links are not followed."""
    total_bytes = 0
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        else:
                            total_bytes += entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # removed meanwhile
                        continue
        except OSError:  # removed meanwhile, or a link put in its place
            continue
    return total_bytes


def make_private(folder: Path) -> None:
    """Create a folder for this user only, with its parents. Replaces a link in its place."""
    if folder.is_symlink():
        folder.unlink()
    for tries_left in reversed(range(_TRIES)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return
        except FileExistsError:  # removed by another process between mkdir and its check for a folder
            if not tries_left or os.path.lexists(folder):
                raise


def nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def delete_all_in(folder: Path) -> None:
    """Delete a folder's contents without following links. Leaves what cannot be deleted now to a later call."""
    try:
        paths = [folder / name for name in os.listdir(folder)]
    except OSError:
        return
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():  # folders without permissions
            _make_accessible(path)
            shutil.rmtree(path, ignore_errors=True)


def _make_accessible(root: Path) -> None:
    with contextlib.suppress(OSError):  # another process is deleting it too
        root.chmod(0o700)
    for parent, folders, _ in os.walk(root):  # top down: lists a folder only after its chmod
        for folder in (Path(parent, name) for name in folders):
            with contextlib.suppress(OSError):
                if not folder.is_symlink():
                    folder.chmod(0o700)
