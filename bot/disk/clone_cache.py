"""The clones on disk: where each is, how much room they take together, and which goes when there is too little.

    root/{installation id}/{repository id}/       what belongs to one repository: clone, facts
    root/{installation id}/{repository id}.lock   locked while it is in use; its time is that of the last use
    root/.removed/                                on its way out

Everything here blocks: call it in a thread. Several processes may share a root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.disk.private_folders import delete_all_in, make_private, nearest, size_bytes
from pipeline.git.errors import DiskFull

LOOK_AGAIN_S: Final = 60.0  # how long sizes are believed: other processes clone too
_REMOVED: Final = ".removed"
_LOCK: Final = ".lock"

Key = tuple[int, int]  # installation id, repository id


@dataclass
class _Stored:
    size_bytes: int
    used_at: float


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Clones:
    """All clones below a folder. `free_bytes_kept` is what must stay free on its disk."""

    def __init__(
        self,
        root: Path,
        *,
        installation_quota_bytes: int,
        total_quota_bytes: int,
        free_bytes_kept: int,
        pack_limit_bytes: int = 4 << 30,
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        self._root = root
        self._installation_quota_bytes = installation_quota_bytes
        self._total_quota_bytes = total_quota_bytes
        self._free_bytes_kept = free_bytes_kept
        self._pack_limit_bytes = pack_limit_bytes
        self._free_bytes = free_bytes
        self._stored: dict[Key, _Stored] = {}
        self._looked_at_s = -LOOK_AGAIN_S
        self._one_at_a_time = threading.RLock()

    def folder(self, installation_id: int, repository_id: int) -> Path:
        return self._root / str(int(installation_id)) / str(int(repository_id))

    def prepare(self, installation_id: int, repository_id: int) -> Path:
        """The folder of a repository, made where it is not there, after making room.

        Past a quota the least recently used clones go, then until enough of the disk is free; never one in use, and
        never this one. Raises DiskFull where that is not enough, or where not even a folder can be made.
        """
        with self._one_at_a_time:
            self._look()
            self._make_room((installation_id, repository_id))
            folder = self.folder(installation_id, repository_id)
            try:
                for place in (folder.parent, folder):
                    make_private(place)
            except OSError as error:
                raise DiskFull(f"no folder for a clone can be made in {self._root} ({error.strerror})") from None
            return folder

    def used(self, installation_id: int, repository_id: int) -> None:
        """Remember that a clone was used now, and how large it is."""
        key = (installation_id, repository_id)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._lock(key))
        with self._one_at_a_time:
            if self.folder(*key).is_dir():
                self._stored[key] = _Stored(size_bytes(self.folder(*key)), time.time())

    @contextlib.contextmanager
    def in_use(self, installation_id: int, repository_id: int) -> Iterator[None]:
        """Meanwhile a clone is not evicted, by this process or another. The system ends it when the process ends."""
        path = self._lock((installation_id, repository_id))
        while True:
            make_private(path.parent)
            if path.is_symlink():
                path.unlink()
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # the installation was removed a moment ago
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
                if _is_still(file, path):
                    yield
                    return
            finally:
                os.close(file)

    def remove(self, installation_id: int, repository_id: int | None = None) -> None:
        """Delete all that is kept of a repository, or of a whole installation, in use or not."""
        with self._one_at_a_time:
            if repository_id is None:
                self._stored = {key: stored for key, stored in self._stored.items() if key[0] != installation_id}
                self._discard(self._root / str(int(installation_id)))
                return
            self._forget((installation_id, repository_id))
            with contextlib.suppress(OSError):  # others are in it, or it is gone
                self.folder(installation_id, repository_id).parent.rmdir()

    def orphans(self, known: set[Key]) -> list[Key]:
        """What lies here and is not known: left over by a process that was killed. Remove it."""
        return sorted(set(self._keys()) - known)

    def room_for(self, installation_id: int) -> int:
        """How many bytes a new pack may have: what is not in use could be evicted for it, but the disk is as it is."""
        with self._one_at_a_time:
            self._look()
            on_disk = self._free_bytes(nearest(self._root)) - self._free_bytes_kept
            room = min(self._pack_limit_bytes, on_disk)
            for quota, of in ((self._installation_quota_bytes, installation_id), (self._total_quota_bytes, None)):
                if self._size_of(of) + room > quota:  # only then is it worth a look at who uses what
                    room = min(room, quota - self._size_of(of, self._is_in_use))
            return max(0, room)

    def _look(self) -> None:
        """Measure everything, unless that was done a moment ago; finish removals that were broken off."""
        if time.monotonic() - self._looked_at_s < LOOK_AGAIN_S:
            return
        self._looked_at_s = time.monotonic()
        delete_all_in(self._root / _REMOVED)
        self._stored = {key: _Stored(size_bytes(self.folder(*key)), self._used_at(key)) for key in self._keys()}

    def _make_room(self, wanted: Key) -> None:
        own = wanted[0]
        past = self._size_of(own) - self._installation_quota_bytes
        self._evict(lambda freed_bytes: freed_bytes >= past, wanted, of_installation=own)
        past_all = self._size_of(None) - self._total_quota_bytes
        self._evict(lambda freed_bytes: freed_bytes >= past_all, wanted)
        place = nearest(self._root)

        def enough(freed_bytes: int) -> bool:
            return self._free_bytes(place) >= self._free_bytes_kept

        if not self._evict(enough, wanted):
            raise DiskFull(
                f"less than {self._free_bytes_kept / 1e6:,.0f} MB are free in {self._root}, and no clone can be "
                "removed: free some, or set ASSAY_DATA_DIR to a larger disk"
            )

    def _size_of(self, installation_id: int | None, counts: Callable[[Key], bool] = lambda key: True) -> int:
        return sum(s.size_bytes for k, s in self._stored.items() if installation_id in (None, k[0]) and counts(k))

    def _evict(self, enough: Callable[[int], bool], wanted: Key, of_installation: int | None = None) -> bool:
        """Remove clones, least recently used first, until it is enough; whether it became so."""
        freed_bytes = 0
        if enough(freed_bytes):
            return True
        for key, stored in sorted(self._stored.items(), key=lambda item: item[1].used_at):
            if key != wanted and of_installation in (None, key[0]) and self._evict_one(key):
                freed_bytes += stored.size_bytes
                if enough(freed_bytes):
                    return True
        return False

    def _evict_one(self, key: Key) -> bool:
        with self._sole_owner(key) as alone:
            if alone:
                self._forget(key)
            return alone

    def _forget(self, key: Key) -> None:
        self._stored.pop(key, None)
        self._discard(self.folder(*key))
        with contextlib.suppress(FileNotFoundError):
            self._lock(key).unlink()

    def _is_in_use(self, key: Key) -> bool:
        with self._sole_owner(key) as alone:
            return not alone

    @contextlib.contextmanager
    def _sole_owner(self, key: Key) -> Iterator[bool]:
        """Whether nobody uses a clone; meanwhile nobody begins to."""
        try:
            file = os.open(self._lock(key), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # nobody has ever used it
            yield True
            return
        try:
            alone = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = False
            yield alone
        finally:
            os.close(file)

    def _discard(self, place: Path) -> None:
        """Out of the way at once, and then deleted."""
        if not os.path.lexists(place):
            return
        trash = self._root / _REMOVED
        make_private(trash)
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            os.rename(place, trash / secrets.token_hex(8))
        delete_all_in(trash)

    def _lock(self, key: Key) -> Path:
        folder = self.folder(*key)
        return folder.with_name(folder.name + _LOCK)

    def _used_at(self, key: Key) -> float:
        for place in (self._lock(key), self.folder(*key)):
            with contextlib.suppress(OSError):
                return place.lstat().st_mtime
        return 0.0

    def _keys(self) -> Iterator[Key]:
        for installation_id in _numbers_in(self._root):
            folder = self._root / str(installation_id)
            for repository_id in [] if folder.is_symlink() else _numbers_in(folder):
                yield installation_id, repository_id


def _numbers_in(folder: Path) -> list[int]:
    """The folders that are named as we name them; whatever else lies there is not ours."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [int(name) for name in names if name.isascii() and name.isdigit() and str(int(name)) == name]


def _is_still(file: int, path: Path) -> bool:
    """Whether a path names the file that is open."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False
