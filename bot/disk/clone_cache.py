"""Cache of clones on disk, bounded by quotas and free space, with least recently used eviction.

    root/{installation id}/{repository id}/       clone and facts of one repository
    root/{installation id}/{repository id}.lock   locked while in use; its mtime is the last use
    root/.removed/                                being deleted

All methods block: call them in a thread. Several processes may share a root.
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

from bot.disk.private_folders import delete_all_in, make_private, nearest_existing, size_bytes
from pipeline.git.errors import DiskFull

MEASURE_EVERY_S: Final = 60.0  # measured sizes go stale: other processes clone too
_REMOVED: Final = ".removed"
_LOCK: Final = ".lock"

Key = tuple[int, int]  # installation id, repository id


@dataclass
class _Stored:
    size_bytes: int
    used_at: float


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class CloneCache:
    """All clones below a folder. `free_bytes_kept` must stay free on its disk."""

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
        self._measured_s = -MEASURE_EVERY_S
        self._mutex = threading.RLock()

    def folder(self, installation_id: int, repository_id: int) -> Path:
        """Return the path of a repository's folder, which may not exist."""
        return self._root / str(int(installation_id)) / str(int(repository_id))

    def prepare(self, installation_id: int, repository_id: int) -> Path:
        """Make room, then return the repository's folder, created if necessary.

        Evicts the least recently used clones while a quota is exceeded or the disk has too little free space, but none
        that is in use, nor this one. Raises DiskFull if that is not enough, or if the folder cannot be created.
        """
        with self._mutex:
            self._measure()
            self._make_room((installation_id, repository_id))
            folder = self.folder(installation_id, repository_id)
            try:
                for path in (folder.parent, folder):
                    make_private(path)
            except OSError as error:
                raise DiskFull(f"no folder for a clone can be made in {self._root} ({error.strerror})") from None
            return folder

    def mark_used(self, installation_id: int, repository_id: int) -> None:
        """Record that a clone was used now, and its size."""
        key = (installation_id, repository_id)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._lock(key))
        with self._mutex:
            if self.folder(*key).is_dir():
                self._stored[key] = _Stored(size_bytes(self.folder(*key)), time.time())

    @contextlib.contextmanager
    def in_use(self, installation_id: int, repository_id: int) -> Iterator[None]:
        """Protect a clone from eviction by any process. The kernel releases the lock when this process ends."""
        path = self._lock((installation_id, repository_id))
        while True:
            make_private(path.parent)
            if path.is_symlink():
                path.unlink()
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # the installation has just been removed
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
                if _is_same_file(file, path):
                    yield
                    return
            finally:
                os.close(file)

    def remove(self, installation_id: int, repository_id: int | None = None) -> None:
        """Delete everything of a repository, or of a whole installation, even if it is in use."""
        with self._mutex:
            if repository_id is None:
                self._stored = {key: stored for key, stored in self._stored.items() if key[0] != installation_id}
                self._discard(self._root / str(int(installation_id)))
                return
            self._forget((installation_id, repository_id))
            with contextlib.suppress(OSError):  # not empty, or already gone
                self.folder(installation_id, repository_id).parent.rmdir()

    def orphans(self, known: set[Key]) -> list[Key]:
        """List stored repositories that are not in `known`: leftovers of killed processes, to be removed."""
        return sorted(set(self._keys()) - known)

    def room_for(self, installation_id: int) -> int:
        """Return the maximum size of a new pack: unused clones could be evicted for the quotas, not for disk space."""
        with self._mutex:
            self._measure()
            on_disk = self._free_bytes(nearest_existing(self._root)) - self._free_bytes_kept
            room = min(self._pack_limit_bytes, on_disk)
            for quota, of in ((self._installation_quota_bytes, installation_id), (self._total_quota_bytes, None)):
                if self._size_of(of) + room > quota:  # checking which clones are in use is slow
                    room = min(room, quota - self._size_of(of, self._is_in_use))
            return max(0, room)

    def _measure(self) -> None:
        """Measure all clones unless that was done recently; finish interrupted removals."""
        if time.monotonic() - self._measured_s < MEASURE_EVERY_S:
            return
        self._measured_s = time.monotonic()
        delete_all_in(self._root / _REMOVED)
        self._stored = {key: _Stored(size_bytes(self.folder(*key)), self._used_at(key)) for key in self._keys()}

    def _make_room(self, wanted: Key) -> None:
        own = wanted[0]
        past = self._size_of(own) - self._installation_quota_bytes
        self._evict(lambda freed_bytes: freed_bytes >= past, wanted, of_installation=own)
        past_all = self._size_of(None) - self._total_quota_bytes
        self._evict(lambda freed_bytes: freed_bytes >= past_all, wanted)
        disk = nearest_existing(self._root)

        def enough(freed_bytes: int) -> bool:
            return self._free_bytes(disk) >= self._free_bytes_kept

        if not self._evict(enough, wanted):
            raise DiskFull(
                f"less than {self._free_bytes_kept / 1e6:,.0f} MB are free in {self._root}, and no clone can be "
                "removed: free some, or set ASSAY_DATA_DIR to a larger disk"
            )

    def _size_of(self, installation_id: int | None, counts: Callable[[Key], bool] = lambda key: True) -> int:
        return sum(s.size_bytes for k, s in self._stored.items() if installation_id in (None, k[0]) and counts(k))

    def _evict(self, enough: Callable[[int], bool], wanted: Key, of_installation: int | None = None) -> bool:
        """Remove clones, least recently used first, until `enough(freed bytes)`; return whether that was reached."""
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
        """Try to lock a clone exclusively for the context; yield whether that succeeded."""
        try:
            file = os.open(self._lock(key), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # never used
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

    def _discard(self, path: Path) -> None:
        """Move a folder out of the way, which is atomic, then delete it."""
        if not os.path.lexists(path):
            return
        trash = self._root / _REMOVED
        make_private(trash)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(path, trash / secrets.token_hex(8))
        delete_all_in(trash)

    def _lock(self, key: Key) -> Path:
        folder = self.folder(*key)
        return folder.with_name(folder.name + _LOCK)

    def _used_at(self, key: Key) -> float:
        for path in (self._lock(key), self.folder(*key)):
            with contextlib.suppress(OSError):
                return path.lstat().st_mtime
        return 0.0

    def _keys(self) -> Iterator[Key]:
        for installation_id in _numbers_in(self._root):
            folder = self._root / str(installation_id)
            for repository_id in [] if folder.is_symlink() else _numbers_in(folder):
                yield installation_id, repository_id


def _numbers_in(folder: Path) -> list[int]:
    """List the folder names that are numbers in canonical form; others are not ours."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [int(name) for name in names if name.isascii() and name.isdigit() and str(int(name)) == name]


def _is_same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False
