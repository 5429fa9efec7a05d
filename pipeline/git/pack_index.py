"""Write the index of a received pack.

Format: https://git-scm.com/docs/gitformat-pack (version 2). A first pass over the file finds the entries, a second one
computes the ids of deltas, each right after its base so that bases are still cached. Memory depends on the number of
objects only, and packs that inflate to far more than regular ones are rejected. Objects that the reader would reject
(too large, or with a missing base) are left out of the index.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from struct import pack as packed
from typing import TYPE_CHECKING, Final

from pipeline.git.delta_chains import DeltaChains, Place, Resolved
from pipeline.git.packs import (
    MAX_OBJECT_BYTES,
    OFS_DELTA,
    CorruptObject,
    MissingObject,
    ObjectProblem,
    ObjectTooLarge,
    PackFile,
)

if TYPE_CHECKING:
    from hashlib import _Hash as _Digest

_KIND_NAMES: Final = (b"", b"commit", b"tree", b"blob", b"tag")
_CACHE_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 1 << 20
_REPORT_EVERY: Final = 20_000  # objects
_SPARE_BYTES: Final = 4 << 30  # that any pack may inflate to, whatever its size
_MAX_INFLATION: Final = 2_000  # times its size; trees of huge folders reach a few hundred
_MIN_ENTRY_BYTES: Final = 9  # a header and an empty stream


def index_pack(path: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write the index of the pack at `path` beside it, as `.idx`. Return the number of objects in it.

    `progress(done, total)` counts objects. Raises CorruptObject if the file is not a complete pack, ObjectTooLarge if
    it inflates to too much, OSError.
    """
    with PackFile(path) as pack:
        scan = _Scan(pack, progress or (lambda done, total: None))
        scan.read_entries()
        scan.name_deltas()
        return scan.write(path.with_suffix(".idx"))


class _Scan:
    """The state of indexing a pack, in columns: an object's number is its row."""

    def __init__(self, pack: PackFile, progress: Callable[[int, int], None]) -> None:
        self.pack = pack
        self.progress = progress
        self.offsets = array("Q")
        self.checksums = array("I")  # CRC-32 of each entry
        self.names: list[bytes] = []  # 20 bytes; b"" while unknown
        self.deltas: list[tuple[int, int]] = []  # (offset of the base, number), for deltas against an offset
        self.waiting: dict[bytes, list[int]] = {}  # numbers of deltas by the id of their base
        self.place_of: dict[bytes, int] = {}  # offsets of bases given by id, as they become known
        self.trailer = b""
        self.remaining_bytes = _SPARE_BYTES + _MAX_INFLATION * pack.size_bytes
        self.chains = DeltaChains([pack], self._locate, _CACHE_BYTES)

    def read_entries(self) -> None:
        """Read the entries: offsets, checksums, bases, and the ids of whole objects (first pass)."""
        count = self.pack.declared_count
        if count * _MIN_ENTRY_BYTES > self.pack.size_bytes:
            raise CorruptObject("the pack is truncated")
        digest = hashlib.sha1(self.pack.bytes_at(0, 12), usedforsecurity=False)  # git's checksum
        offset = 12
        for number in range(count):
            if number % _REPORT_EVERY == 0:
                self.progress(number, 2 * count)
            offset = self._read_entry(number, offset, digest)
        self.trailer = self.pack.bytes_at(offset, 20)
        if self.trailer != digest.digest() or offset != self.pack.end:
            raise CorruptObject("the checksum of the pack is wrong: it is truncated or damaged")

    def _read_entry(self, number: int, offset: int, digest: _Digest) -> int:
        """Record the entry at an offset. Return the offset after it."""
        entry = self.pack.entry(offset)
        self._deduct(entry.size_bytes)
        name = _digest_of(entry.kind, entry.size_bytes) if entry.kind < OFS_DELTA else None
        header = entry.window[: entry.skip]
        digest.update(header)
        checksum = zlib.crc32(header)
        stream = zlib.decompressobj()
        deflated = entry.window[entry.skip : entry.skip + entry.size_bytes + 64]
        at = entry.start
        left = entry.size_bytes
        try:
            while True:
                left -= _inflate_part(stream, deflated, left, name)
                used = deflated[: len(deflated) - len(stream.unused_data)]
                digest.update(used)
                checksum = zlib.crc32(used, checksum)
                at += len(used)
                if stream.eof:
                    break
                deflated = self.pack.bytes_at(at, min(left + 4096, _BLOCK_BYTES))
                if not deflated:
                    raise CorruptObject("the pack is truncated")
        except zlib.error as error:
            raise CorruptObject(f"a damaged entry ({error})") from None
        if left:
            raise CorruptObject("an entry smaller than declared")
        self._record(number, offset, entry.base, name.digest() if name else b"", checksum)
        return at

    def _record(self, number: int, offset: int, base: int | bytes, name: bytes, checksum: int) -> None:
        self.offsets.append(offset)
        self.checksums.append(checksum)
        self.names.append(name)
        if isinstance(base, bytes):
            self.waiting.setdefault(base, []).append(number)
        elif base:
            self.deltas.append((base, number))

    def name_deltas(self) -> None:
        """Compute the ids of deltas, depth first from the whole objects that they are based on (second pass)."""
        self.deltas.sort()
        count = len(self.offsets)
        done = sum(1 for name in self.names if name)
        for root in range(count):
            name = self.names[root]
            if not name:
                continue
            todo = self._children(root, name)
            while todo:
                number = todo.pop()
                if self.names[number]:
                    continue
                done += 1
                if done % _REPORT_EVERY == 0:
                    self.progress(count + done, 2 * count)
                if self._name_delta(number):
                    todo += self._children(number, self.names[number])

    def _children(self, number: int, name: bytes) -> list[int]:
        offset = self.offsets[number]
        first = bisect_left(self.deltas, (offset, -1))
        last = bisect_left(self.deltas, (offset + 1, -1), first)
        children = [child for _, child in self.deltas[first:last]]
        by_name = self.waiting.pop(name, None)
        if by_name:
            self.place_of[name] = offset
            children += by_name
        return children

    def _name_delta(self, number: int) -> bool:
        """Compute the id of a delta. Return whether it could be resolved."""
        try:
            kind, content = self.chains.resolve(0, self.offsets[number], MAX_OBJECT_BYTES)
        except ObjectProblem:
            return False
        self._deduct(len(content))
        name = _digest_of(kind, len(content))
        name.update(content)
        self.names[number] = name.digest()
        return True

    def _locate(self, id: bytes) -> Place | Resolved:
        if id not in self.place_of:
            raise MissingObject(f"{id.hex()} is missing")
        return 0, self.place_of[id]

    def _deduct(self, size_bytes: int) -> None:
        self.remaining_bytes -= size_bytes
        if self.remaining_bytes < 0:
            raise ObjectTooLarge("the pack inflates to an implausible size")

    def write(self, path: Path) -> int:
        """Write the index atomically. Return the number of objects in it."""
        order = sorted((number for number, name in enumerate(self.names) if name), key=self.names.__getitem__)
        fan_out = [0] * 256
        for number in order:
            fan_out[self.names[number][0]] += 1
        for first in range(1, 256):
            fan_out[first] += fan_out[first - 1]
        large = [self.offsets[number] for number in order if self.offsets[number] >= 1 << 31]
        places = {offset: 1 << 31 | index for index, offset in enumerate(large)}
        parts = [
            b"\377tOc\0\0\0\2",
            packed(">256I", *fan_out),
            b"".join(self.names[number] for number in order),
            packed(f">{len(order)}I", *(self.checksums[number] for number in order)),
            packed(f">{len(order)}I", *(places.get(self.offsets[n], self.offsets[n]) for n in order)),
            packed(f">{len(large)}Q", *large),
            self.trailer,
        ]
        digest = hashlib.sha1(usedforsecurity=False)
        unfinished = path.with_suffix(".tmp")
        try:
            with open(unfinished, "wb") as file:
                for part in parts:
                    digest.update(part)
                    file.write(part)
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        return len(order)


def _digest_of(kind: int, size_bytes: int) -> _Digest:
    """Return the digest of an object's id, without its content."""
    return hashlib.sha1(b"%s %d\0" % (_KIND_NAMES[kind], size_bytes), usedforsecurity=False)


def _inflate_part(stream: zlib._Decompress, deflated: bytes, left: int, name: _Digest | None) -> int:
    """Inflate a part of a stream in bounded steps, into `name`. Return the number of bytes produced."""
    produced = 0
    while True:
        part = stream.decompress(deflated, min(left - produced + 1, _BLOCK_BYTES))
        produced += len(part)
        if produced > left:
            raise CorruptObject("an entry larger than declared")
        if name is not None:
            name.update(part)
        deflated = stream.unconsumed_tail
        if stream.eof or not deflated:  # past the end zlib may keep returning the rest as a tail
            return produced
