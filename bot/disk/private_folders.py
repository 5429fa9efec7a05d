"""Folders that nobody else may look into: made, measured and deleted without ever following a link out of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_TRIES = 5


def size_bytes(folder: Path) -> int:
    """The sizes of all files below a folder, as far as they can be seen. Links are not followed."""
    found_bytes = 0
    pending = [os.fspath(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        else:
                            found_bytes += entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # removed meanwhile
                        continue
        except OSError:  # removed meanwhile, or a link put in its place
            continue
    return found_bytes


def make_private(folder: Path) -> None:
    """A folder for this user only. A link in its place is removed: it would lead elsewhere."""
    if folder.is_symlink():
        folder.unlink()
    for left in reversed(range(_TRIES)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return
        except FileExistsError:  # somebody removed it between its making and the look whether it is a folder
            if not left or os.path.lexists(folder):
                raise


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def delete_all_in(folder: Path) -> None:
    """Everything in a folder, links as such; what cannot be deleted now is tried again another time."""
    try:
        places = [folder / name for name in os.listdir(folder)]
    except OSError:
        return
    for place in places:
        if place.is_symlink() or not place.is_dir():
            place.unlink(missing_ok=True)
            continue
        shutil.rmtree(place, ignore_errors=True)
        if place.exists():  # folders without permissions
            _open_up(place)
            shutil.rmtree(place, ignore_errors=True)


def _open_up(place: Path) -> None:
    """Give ourselves every right to the folders at and below a place."""
    with contextlib.suppress(OSError):  # another process deletes it too
        place.chmod(0o700)
    for parent, folders, _ in os.walk(place):  # which lists a folder only after the turn of the one it is in
        for folder in (Path(parent, name) for name in folders):
            with contextlib.suppress(OSError):
                if not folder.is_symlink():
                    folder.chmod(0o700)
