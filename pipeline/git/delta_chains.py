"""From a place in a pack to an object: whole entries, and deltas along their chains, with a cache by place.

A chain is walked down to an object that is cached or whole, and its deltas are applied on the way back. No recursion;
chains that bite their own tail are refused, chains that make too much are stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from pipeline.git.packs import (
    LARGEST_OBJECT_BYTES,
    OFS_DELTA,
    CorruptObject,
    Entry,
    ObjectTooLarge,
    PackFile,
    delta_sizes,
)

Resolved = tuple[int, bytes]  # type number (1 commit, 2 tree, 3 blob, 4 tag) and content
Place = tuple[int, int]  # number of the pack and offset in it

_ENTRY_OVERHEAD_BYTES: Final = 200  # key, tuple, header of the bytes object, and the cache's slot
_LONGEST_CHAIN: Final = 50_000  # git writes 50, and never more than 4,095
_MOST_CHAIN_BYTES: Final = 512 << 20  # made along one chain: a hostile one ends within a second
_MOST_HELD_BYTES: Final = 8 << 20  # deltas kept inflated on the way down; the rest is inflated on the way up
_MOST_PEEKLESS_BYTES: Final = 65_536  # a larger delta is not inflated before the size of its result is known
_MOST_OPEN_PACKS: Final = 64
_PACK_SHIFT: Final = 48  # key of a place: the offset, and the pack's number above it
_OFFSET_MASK: Final = (1 << _PACK_SHIFT) - 1


class Chains:
    """Objects by place. `packs` may grow while this is used, and is never reordered.

    `locate(id)` says where the base of a delta is when it is named by id: a place, or the object itself where it is
    not in a pack. It raises ObjectProblem where there is none.
    """

    def __init__(
        self, packs: Sequence[PackFile], locate: Callable[[bytes], Place | Resolved], cache_bytes: int
    ) -> None:
        self._packs = packs
        self._locate = locate
        self._cache: dict[int, Resolved] = {}
        self._cached_bytes = 0
        self._most_cached_bytes = cache_bytes

    def resolve(self, number: int, offset: int, most_bytes: int) -> Resolved:
        """The object at a place. Raises ObjectProblem; larger than `most_bytes` is ObjectTooLarge, not inflated."""
        key = offset | number << _PACK_SHIFT
        resolved = self._cache.get(key)
        if resolved is not None:
            refuse_larger(len(resolved[1]), most_bytes)
            return resolved
        entry = self._entry(number, offset)
        if entry.kind < OFS_DELTA:
            refuse_larger(entry.size_bytes, most_bytes)
            resolved = entry.kind, self._packs[number].inflate(entry)
            self._keep(key, resolved)
            return resolved
        if entry.size_bytes >= most_bytes or entry.size_bytes > _MOST_PEEKLESS_BYTES:
            refuse_larger(self._packs[number].result_size(entry), most_bytes)
        return self._walk_down(number, offset, entry, most_bytes)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._cached_bytes = 0

    def _walk_down(self, number: int, offset: int, entry: Entry, most_bytes: int) -> Resolved:
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
            if len(chain) >= _LONGEST_CHAIN:
                raise CorruptObject("a chain of deltas without end")
            chain[key] = None
            if held_bytes < _MOST_HELD_BYTES:
                delta = self._packs[number].inflate(entry)
                if not held_bytes:
                    refuse_larger(delta_sizes(delta)[1], most_bytes)
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
        made_bytes = 0
        while chain:
            key, delta = chain.popitem()
            if delta is None:
                number = key >> _PACK_SHIFT
                delta = self._packs[number].inflate(self._entry(number, key & _OFFSET_MASK))
            size_bytes = delta_sizes(delta)[1]
            made_bytes += size_bytes
            if size_bytes > LARGEST_OBJECT_BYTES or made_bytes > _MOST_CHAIN_BYTES:
                raise ObjectTooLarge("a chain of deltas that makes too much")
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
            if len(opened) >= _MOST_OPEN_PACKS:
                opened[0].close()
        return pack.entry(offset)

    def _keep(self, key: int, resolved: Resolved) -> None:
        size_bytes = len(resolved[1]) + _ENTRY_OVERHEAD_BYTES
        if size_bytes > self._most_cached_bytes >> 2 or key in self._cache:
            return
        self._cache[key] = resolved
        self._cached_bytes += size_bytes
        if self._cached_bytes > self._most_cached_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        target_bytes = self._most_cached_bytes * 3 // 4
        dropped = []
        for key, (_, data) in self._cache.items():
            if self._cached_bytes <= target_bytes:
                break
            self._cached_bytes -= len(data) + _ENTRY_OVERHEAD_BYTES
            dropped.append(key)
        for key in dropped:
            del self._cache[key]


def refuse_larger(size_bytes: int, most_bytes: int) -> None:
    """Raise ObjectTooLarge where a size is over a limit."""
    if size_bytes > most_bytes:
        raise ObjectTooLarge(f"{size_bytes:,} bytes")
