"""Read the objects of a git repository (commits, trees, blobs) from packs and loose files.

Faster than dulwich's object store, with little memory, and safe on hostile repositories: every size is checked before
anything is allocated, and cycles and bombs are rejected (see `delta_chains` and `packs`).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.git.delta_chains import DeltaChains, Place, Resolved, check_size
from pipeline.git.packs import (
    BLOB,
    COMMIT,
    MAX_OBJECT_BYTES,
    TAG,
    TREE,
    CorruptObject,
    MissingObject,
    ObjectProblem,
    ObjectTooLarge,
    Pack,
    inflate_bounded,
)

__all__ = ["CorruptObject", "MissingObject", "ObjectProblem", "ObjectReader", "ObjectTooLarge"]

EMPTY_TREE: Final = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")  # implicit in git, need not be stored

MAX_COMMIT_BYTES: Final = 8 << 20
MAX_TREE_BYTES: Final = 16 << 20  # some 400,000 entries in one folder

_KINDS: Final = {b"commit": COMMIT, b"tree": TREE, b"blob": BLOB, b"tag": TAG}
_MAX_ALTERNATES: Final = 32
_MAX_ALTERNATE_DEPTH: Final = 5  # as git


class ObjectReader:
    """Read objects from an `objects` folder and its alternates. Not thread-safe.

    Ids are 20 raw bytes. `broken_packs` names the packs whose index is unusable: their objects count as missing.
    """

    def __init__(self, object_dir: Path, *, cache_bytes: int = 48 << 20) -> None:
        self.broken_packs: list[str] = []
        self._folders = _with_alternates(object_dir)
        self._packs: list[Pack] = []
        self._listed_at_ns: dict[Path, int] = {}  # pack folder -> its modification time when listed
        self._known: set[Path] = set()
        self._chains = DeltaChains(self._packs, self._locate, cache_bytes)
        self._list_packs()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every file. Afterwards every object is missing."""
        for pack in self._packs:
            pack.close()
            pack.close_index()
        self._packs.clear()
        self._folders = ()
        self._chains.forget()

    def forget(self) -> None:
        """Empty the cache."""
        self._chains.forget()

    def read(self, id: bytes) -> tuple[int, bytes]:
        """Return (type number, content): 1 commit, 2 tree, 3 blob, 4 tag. Raises ObjectProblem."""
        return self._read(id, MAX_OBJECT_BYTES)

    def commit(self, id: bytes) -> bytes:
        """Return the content of a commit. Raises ObjectProblem, also for other types."""
        return self._typed(id, COMMIT, MAX_COMMIT_BYTES)

    def tree(self, id: bytes) -> bytes:
        """Return the content of a tree. Raises ObjectProblem, also for other types."""
        return self._typed(id, TREE, MAX_TREE_BYTES)

    def blob(self, id: bytes, max_bytes: int) -> bytes:
        """Return the content of a blob. Raises ObjectProblem, if it is larger ObjectTooLarge without inflating it."""
        return self._typed(id, BLOB, max_bytes)

    def _typed(self, id: bytes, wanted: int, max_bytes: int) -> bytes:
        kind, content = self._read(id, max_bytes)
        if kind != wanted:
            problem = CorruptObject(f"{id.hex()} has another type than expected")
            problem.id = id
            raise problem
        return content

    def _read(self, id: bytes, max_bytes: int) -> Resolved:
        try:
            for number, pack in enumerate(self._packs):
                offset = pack.find(id)
                if offset is not None:
                    return self._chains.read(number, offset, id, max_bytes)
            return self._read_unpacked(id, max_bytes)
        except (CorruptObject, OSError) as error:
            resolved = self._read_intact_copy(id, max_bytes)
            if resolved is not None:
                return resolved
            problem = CorruptObject(f"{id.hex()}: {error}")
        except ObjectProblem as error:
            error.id = id
            raise
        problem.id = id
        raise problem

    def _read_unpacked(self, id: bytes, max_bytes: int) -> Resolved:
        """Read an object that no known pack holds: a loose one, or one in a new pack."""
        for folder in self._folders:
            resolved = _read_loose(folder, id, max_bytes)
            if resolved is not None:
                return resolved
        place = self._find(id, self._list_packs())
        if place is not None:
            return self._chains.read(*place, id, max_bytes)
        if id == EMPTY_TREE:
            return TREE, b""
        raise MissingObject(f"{id.hex()} is missing")

    def _read_intact_copy(self, id: bytes, max_bytes: int) -> Resolved | None:
        """Read an intact copy of the object, as git does if one copy is damaged."""
        for number, pack in enumerate(self._packs):
            try:
                offset = pack.find(id)
                if offset is not None:
                    return self._chains.read(number, offset, id, max_bytes)
            except (ObjectProblem, OSError):
                continue
        for folder in self._folders:
            try:
                resolved = _read_loose(folder, id, max_bytes)
            except (ObjectProblem, OSError):
                continue
            if resolved is not None:
                return resolved
        return None

    def _locate(self, id: bytes) -> Place | Resolved:
        """Return the place of a delta base, or the base itself if it is in no pack."""
        place = self._find(id, 0)
        return self._read_unpacked(id, MAX_OBJECT_BYTES) if place is None else place

    def _find(self, id: bytes, first: int) -> Place | None:
        for number in range(first, len(self._packs)):
            offset = self._packs[number].find(id)
            if offset is not None:
                return number, offset
        return None

    def _list_packs(self) -> int:
        """Open the packs that have appeared since the last call, largest first. Return the number of the first."""
        first = len(self._packs)
        opened: list[Pack] = []
        for folder in self._folders:
            for index_path in self._new_indexes(folder / "pack"):
                try:
                    opened.append(Pack(index_path))
                except (ObjectProblem, OSError, ValueError):
                    self.broken_packs.append(index_path.name)
        self._packs += sorted(opened, key=lambda pack: -pack.count)
        return first

    def _new_indexes(self, folder: Path) -> Iterator[Path]:
        try:
            changed_at_ns = folder.stat().st_mtime_ns
            if self._listed_at_ns.get(folder) == changed_at_ns:
                return
            self._listed_at_ns[folder] = changed_at_ns
            paths = sorted(folder.glob("*.idx"))
        except OSError:
            return
        for path in paths:
            if path not in self._known:
                self._known.add(path)
                yield path


def _read_loose(folder: Path, id: bytes, max_bytes: int) -> Resolved | None:
    name = id.hex()
    try:
        file = open(folder / name[:2] / name[2:], "rb")  # noqa: SIM115 (closed below)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with file:
        deflated = file.read(4096)
        try:
            head, zero, _ = zlib.decompressobj().decompress(deflated, 64).partition(b"\0")
        except zlib.error as error:
            raise CorruptObject(f"damaged data ({error})") from None
        word, _, digits = head.partition(b" ")
        if not zero or word not in _KINDS or not digits.isdigit():
            raise CorruptObject("a loose object without a header")
        size_bytes = int(digits)
        check_size(size_bytes, min(max_bytes, MAX_OBJECT_BYTES))
        skip = len(head) + 1
        data = inflate_bounded(deflated, skip + size_bytes, lambda done: file.read(65_536))
    if hashlib.sha1(data, usedforsecurity=False).digest() != id:
        raise CorruptObject("its content is that of another object")
    return _KINDS[word], data[skip:]


def _with_alternates(object_dir: Path) -> tuple[Path, ...]:
    """Return the folder and its alternates, nearest first, each once, at most `_MAX_ALTERNATES`."""
    folders: dict[str, Path] = {}
    todo = [(object_dir, 0)]
    while todo and len(folders) < _MAX_ALTERNATES:
        folder, depth = todo.pop(0)
        real = os.path.realpath(folder)
        if real in folders or not os.path.isdir(real):
            continue
        folders[real] = Path(real)
        if depth < _MAX_ALTERNATE_DEPTH:
            todo += [(folder / line, depth + 1) for line in _alternate_lines(folder)]
    return tuple(folders.values())


def _alternate_lines(folder: Path) -> list[str]:
    try:
        with open(folder / "info" / "alternates", "rb") as file:
            raw = file.read(65_536)
    except OSError:
        return []
    lines = [line for line in raw.split(b"\n") if line and not line.startswith(b"#") and b"\0" not in line]
    return [os.fsdecode(line) for line in lines]
