"""Write the index of a pack that was received: which object is where.

Format: https://git-scm.com/docs/gitformat-pack (version 2). One pass over the file finds the entries, a second one
names the deltas, each next to its base so that bases are found in the cache. Memory is bounded by the number of
objects, whatever they inflate to; packs that make far more than honest ones are refused. Objects that the reader
would refuse (too large, or against a base that is not there) are left out of the index.
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

from pipeline.git.delta_chains import Chains, Place, Resolved
from pipeline.git.packs import (
    LARGEST_OBJECT_BYTES,
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
_SPARE_BYTES: Final = 4 << 30  # what any pack may inflate to, however small it is
_MOST_INFLATION: Final = 2_000  # times its size; trees of huge folders come to a few hundred
_SMALLEST_ENTRY_BYTES: Final = 9  # a header and an empty stream


def index_pack(path: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write `path` with `.idx` instead of `.pack`; return the number of objects in it.

    `progress(done, total)` counts objects. Raises CorruptObject where the file is no whole pack, ObjectTooLarge where
    it inflates to too much, OSError.
    """
    with PackFile(path) as pack:
        scan = _Scan(pack, progress or (lambda done, total: None))
        scan.read_entries()
        scan.name_deltas()
        return scan.write(path.with_suffix(".idx"))


class _Scan:
    """What is known of a pack while it is being indexed, in columns; an object's number is its place in them."""

    def __init__(self, pack: PackFile, progress: Callable[[int, int], None]) -> None:
        self.pack = pack
        self.progress = progress
        self.offsets = array("Q")
        self.checksums = array("I")  # CRC-32 of each entry
        self.names: list[bytes] = []  # 20 bytes; b"" until it is known
        self.deltas: list[tuple[int, int]] = []  # (offset of the base, number), for deltas against an offset
        self.waiting: dict[bytes, list[int]] = {}  # deltas by the id of their base
        self.place_of: dict[bytes, int] = {}  # offsets of the bases that are named by id, as they become known
        self.trailer = b""
        self.most_bytes = _SPARE_BYTES + _MOST_INFLATION * pack.size_bytes
        self.chains = Chains([pack], self._locate, _CACHE_BYTES)

    def read_entries(self) -> None:
        """First pass: offsets, checksums, bases; the names of whole objects."""
        count = self.pack.declared_count
        if count * _SMALLEST_ENTRY_BYTES > self.pack.size_bytes:
            raise CorruptObject("the pack is cut off")
        digest = hashlib.sha1(self.pack.bytes_at(0, 12), usedforsecurity=False)  # git's checksum
        offset = 12
        for number in range(count):
            if number % _REPORT_EVERY == 0:
                self.progress(number, 2 * count)
            offset = self._read_entry(number, offset, digest)
        self.trailer = self.pack.bytes_at(offset, 20)
        if self.trailer != digest.digest() or offset != self.pack.end:
            raise CorruptObject("the checksum of the pack is wrong: it was cut off or damaged")

    def _read_entry(self, number: int, offset: int, digest: _Digest) -> int:
        """Note the entry at an offset; return the offset after it."""
        entry = self.pack.entry(offset)
        self._spend(entry.size_bytes)
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
                    raise CorruptObject("the pack is cut off")
        except zlib.error as error:
            raise CorruptObject(f"a damaged entry ({error})") from None
        if left:
            raise CorruptObject("an entry smaller than it says")
        self._note(number, offset, entry.base, name.digest() if name else b"", checksum)
        return at

    def _note(self, number: int, offset: int, base: int | bytes, name: bytes, checksum: int) -> None:
        self.offsets.append(offset)
        self.checksums.append(checksum)
        self.names.append(name)
        if isinstance(base, bytes):
            self.waiting.setdefault(base, []).append(number)
        elif base:
            self.deltas.append((base, number))

    def name_deltas(self) -> None:
        """Second pass: the names of deltas, depth first from the whole objects they rest on."""
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
        """Whether a delta could be resolved."""
        try:
            kind, content = self.chains.resolve(0, self.offsets[number], LARGEST_OBJECT_BYTES)
        except ObjectProblem:
            return False
        self._spend(len(content))
        name = _digest_of(kind, len(content))
        name.update(content)
        self.names[number] = name.digest()
        return True

    def _locate(self, id: bytes) -> Place | Resolved:
        if id not in self.place_of:
            raise MissingObject(f"{id.hex()} is missing")
        return 0, self.place_of[id]

    def _spend(self, size_bytes: int) -> None:
        self.most_bytes -= size_bytes
        if self.most_bytes < 0:
            raise ObjectTooLarge("the pack inflates to far more than an honest one")

    def write(self, path: Path) -> int:
        """Write the index beside the pack, whole or not at all."""
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
    """The digest that names an object, before its content."""
    return hashlib.sha1(b"%s %d\0" % (_KIND_NAMES[kind], size_bytes), usedforsecurity=False)


def _inflate_part(stream: zlib._Decompress, deflated: bytes, left: int, name: _Digest | None) -> int:
    """Inflate a part of a stream in bounded steps, into `name`; return the number of bytes made."""
    made = 0
    while True:
        part = stream.decompress(deflated, min(left - made + 1, _BLOCK_BYTES))
        made += len(part)
        if made > left:
            raise CorruptObject("an entry larger than it says")
        if name is not None:
            name.update(part)
        deflated = stream.unconsumed_tail
        if stream.eof or not deflated:  # after the end zlib may call the rest a tail for ever
            return made
