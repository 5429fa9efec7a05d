"""Resolve entries of packs to objects, applying chains of deltas, with a cache.

A chain is followed to an object that is cached or stored whole, and its deltas are applied on the way back. Nothing
recurses, cyclic chains are rejected, and the bytes that a chain produces are limited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from pipeline.git.packs import (
    MAX_OBJECT_BYTES,
    OFS_DELTA,
    CorruptObject,
    Entry,
    ObjectTooLarge,
    PackFile,
    delta_sizes,
)

Resolved = tuple[int, bytes]  # type number (1 commit, 2 tree, 3 blob, 4 tag) and content
Place = tuple[int, int]  # number of the pack and offset in it

_ENTRY_OVERHEAD_BYTES: Final = 320  # key, tuple, header of the bytes object, id, and the slots of both
_KIND_NAMES: Final = (b"", b"commit", b"tree", b"blob", b"tag")
_MAX_CHAIN_LENGTH: Final = 50_000  # git writes 50, and at most 4,095
_MAX_CHAIN_BYTES: Final = 512 << 20  # produced along one chain: stops a hostile one within a second
_MAX_HELD_BYTES: Final = 8 << 20  # of inflated deltas kept on the way down; the others are inflated on the way up
_MAX_UNCHECKED_BYTES: Final = 65_536  # of a delta that may be inflated before the size of its result is known
_MAX_OPEN_PACKS: Final = 64
_PACK_SHIFT: Final = 48  # key of a place: the offset, and the pack's number above it
_OFFSET_MASK: Final = (1 << _PACK_SHIFT) - 1


class DeltaChains:
    """Objects by their place in `packs`, which may grow but must not be reordered.

    `locate(id)` finds a delta base that is given by id. It returns a place, or the object itself if it is not in a
    pack, and raises ObjectProblem if there is none.
    """

    def __init__(
        self, packs: Sequence[PackFile], locate: Callable[[bytes], Place | Resolved], cache_bytes: int
    ) -> None:
        self._packs = packs
        self._locate = locate
        self._cache: dict[int, Resolved] = {}
        self._ids: dict[int, bytes] = {}  # of what is cached, once it was verified
        self._cached_bytes = 0
        self._max_cached_bytes = cache_bytes

    def read(self, number: int, offset: int, id: bytes, max_bytes: int) -> Resolved:
        """Return the object at the place that an index gives for `id`. Raises ObjectProblem, as `resolve` and if it is
        another object."""
        resolved = self.resolve(number, offset, max_bytes)
        key = offset | number << _PACK_SHIFT
        if self._ids.get(key) != id:
            require_id(id, resolved)
            if key in self._cache:
                self._ids[key] = id
        return resolved

    def resolve(self, number: int, offset: int, max_bytes: int) -> Resolved:
        """Return the object at a place. Raises ObjectProblem, over `max_bytes` ObjectTooLarge without inflating it."""
        key = offset | number << _PACK_SHIFT
        resolved = self._cache.get(key)
        if resolved is not None:
            check_size(len(resolved[1]), max_bytes)
            return resolved
        entry = self._entry(number, offset)
        if entry.kind < OFS_DELTA:
            check_size(entry.size_bytes, max_bytes)
            resolved = entry.kind, self._packs[number].inflate(entry)
            self._keep(key, resolved)
            return resolved
        if entry.size_bytes >= max_bytes or entry.size_bytes > _MAX_UNCHECKED_BYTES:
            check_size(self._packs[number].result_size(entry), max_bytes)
        return self._walk_down(number, offset, entry, max_bytes)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._ids.clear()
        self._cached_bytes = 0

    def _walk_down(self, number: int, offset: int, entry: Entry, max_bytes: int) -> Resolved:
        chain: dict[int, bytes | None] = {}  # key -> inflated delta; None: inflate it on the way up
        held_bytes = 0
        while True:
            key = offset | number << _PACK_SHIFT
            if entry.kind < OFS_DELTA:
                resolved = entry.kind, self._packs[number].inflate(entry)
                self._keep(key, resolved)
                return self._walk_up(chain, resolved)
            if key in chain:
                raise CorruptObject("a cycle of deltas")
            if len(chain) >= _MAX_CHAIN_LENGTH:
                raise CorruptObject("a chain of deltas without end")
            chain[key] = None
            if held_bytes < _MAX_HELD_BYTES:
                delta = self._packs[number].inflate(entry)
                if not held_bytes:
                    check_size(delta_sizes(delta)[1], max_bytes)
                held_bytes += len(delta)
                chain[key] = delta
            base = self._locate(entry.base) if isinstance(entry.base, bytes) else (number, entry.base)
            if isinstance(base[1], bytes):
                return self._walk_up(chain, (base[0], base[1]))
            number, offset = base[0], base[1]
            cached = self._cache.get(offset | number << _PACK_SHIFT)
            if cached is not None:
                return self._walk_up(chain, cached)
            entry = self._entry(number, offset)

    def _walk_up(self, chain: dict[int, bytes | None], resolved: Resolved) -> Resolved:
        kind, data = resolved
        produced_bytes = 0
        while chain:
            key, delta = chain.popitem()
            if delta is None:
                number = key >> _PACK_SHIFT
                delta = self._packs[number].inflate(self._entry(number, key & _OFFSET_MASK))
            size_bytes = delta_sizes(delta)[1]
            produced_bytes += size_bytes
            if size_bytes > MAX_OBJECT_BYTES or produced_bytes > _MAX_CHAIN_BYTES:
                raise ObjectTooLarge("a chain of deltas that produces too much")
            try:
                parts = apply_delta(data, delta)
            except ApplyDeltaError as error:
                raise CorruptObject(f"a damaged delta ({error})") from None
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._keep(key, (kind, data))
        return kind, data

    def _entry(self, number: int, offset: int) -> Entry:
        pack = self._packs[number]
        if not pack.is_open:
            opened = [other for other in self._packs if other.is_open]
            if len(opened) >= _MAX_OPEN_PACKS:
                opened[0].close()
        return pack.entry(offset)

    def _keep(self, key: int, resolved: Resolved) -> None:
        size_bytes = len(resolved[1]) + _ENTRY_OVERHEAD_BYTES
        if size_bytes > self._max_cached_bytes >> 2 or key in self._cache:
            return
        self._cache[key] = resolved
        self._cached_bytes += size_bytes
        if self._cached_bytes > self._max_cached_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        target_bytes = self._max_cached_bytes * 3 // 4
        dropped = []
        for key, (_, data) in self._cache.items():
            if self._cached_bytes <= target_bytes:
                break
            self._cached_bytes -= len(data) + _ENTRY_OVERHEAD_BYTES
            dropped.append(key)
        for key in dropped:
            del self._cache[key]
            self._ids.pop(key, None)


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise ObjectTooLarge if a size exceeds a limit."""
    if size_bytes > max_bytes:
        raise ObjectTooLarge(f"{size_bytes:,} bytes")


def require_id(id: bytes, resolved: Resolved) -> None:
    """Raise CorruptObject unless an object is the one of this id: wrong content is worse than none."""
    kind, data = resolved
    digest = hashlib.sha1(b"%s %d\0" % (_KIND_NAMES[kind], len(data)), usedforsecurity=False)
    digest.update(data)
    if digest.digest() != id:
        raise CorruptObject("its content is that of another object")
