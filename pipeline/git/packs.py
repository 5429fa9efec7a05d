"""Read a pack of a git repository: offsets of objects from the .idx, entries from the .pack.

Format: https://git-scm.com/docs/pack-format. Nothing in the files is trusted: sizes, offsets and streams are checked.
The index is mapped, the pack is read with pread: the pages of a mapped pack would count as memory of the process
(260 MB measured for a pack of that size), and a pack truncated by another process would kill it with SIGBUS.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import Struct, unpack_from
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
TAG: Final = 4
OFS_DELTA: Final = 6
REF_DELTA: Final = 7

MAX_OBJECT_BYTES: Final = 64 << 20  # of any inflated stream, bases of deltas included

_WINDOW_BYTES: Final = 4096  # most entries fit into one read
_ONE_SHOT_BYTES: Final = 8192  # up to this a bomb inflates to 9 MB at most: safe in one call
_MAPPED_BYTES: Final = 1 << 20
_FAN_OUT: Final = Struct(">256I")
_TRAILER_BYTES: Final = 20
_BELOW_128: Final = bytes(range(128))
_NEAR: Final = 48  # ids on each side of the guess: three standard deviations for packs of a quarter of a million


class ObjectProblem(Exception):
    """An object is unusable. `id` is the requested object (20 bytes), empty while unknown."""

    id: bytes = b""


class MissingObject(ObjectProblem):
    """The object is in no pack and no loose file."""


class CorruptObject(ObjectProblem):
    """The object exists and is damaged."""


class ObjectTooLarge(ObjectProblem):
    """The object is over the caller's limit or `MAX_OBJECT_BYTES`."""


class Entry(NamedTuple):
    """The header of a pack entry."""

    kind: int  # 1 to 4, OFS_DELTA or REF_DELTA
    size_bytes: int  # declared, of the inflated stream
    base: int | bytes  # OFS_DELTA: an offset; REF_DELTA: 20 bytes; else 0
    start: int  # offset of the deflated stream in the pack
    window: bytes  # bytes of the pack from `start - skip` on
    skip: int


class PackFile:
    """A .pack file: entries by offset. Opened on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self.end = 0  # offset of the checksum that follows the last entry
        self.declared_count = 0
        self._fd = -1

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the .pack file. Raises CorruptObject if it is missing or not a pack."""
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise CorruptObject(f"{self.path.name}: {error.strerror}") from None
        head = os.pread(fd, 12, 0)
        if head[:4] != b"PACK" or head[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            os.close(fd)
            raise CorruptObject(f"{self.path.name} is not a pack")
        self._fd = fd
        self.size_bytes = os.fstat(fd).st_size
        self.end = self.size_bytes - _TRAILER_BYTES
        self.declared_count = int.from_bytes(head[8:12], "big")

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def bytes_at(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes at an offset, fewer at the end of the file."""
        return os.pread(self._fd, size_bytes, offset)

    def entry(self, offset: int) -> Entry:
        """Read the header of the entry at an offset. Raises CorruptObject."""
        if self._fd < 0:
            self.open()
        if not 12 <= offset < self.end:
            raise CorruptObject(f"an offset outside of {self.path.name}")
        window = os.pread(self._fd, _WINDOW_BYTES, offset)
        try:
            byte = window[0]
            at = 1
            kind = (byte >> 4) & 7
            size_bytes = byte & 15
            shift = 4
            while byte & 0x80:
                byte = window[at]
                at += 1
                size_bytes |= (byte & 0x7F) << shift
                shift += 7
            base: int | bytes = 0
            if kind == OFS_DELTA:
                byte = window[at]
                at += 1
                distance = byte & 0x7F
                while byte & 0x80:
                    byte = window[at]
                    at += 1
                    distance = ((distance + 1) << 7) | (byte & 0x7F)
                base = offset - distance
                if distance == 0:
                    raise CorruptObject("a delta against itself")
            elif kind == REF_DELTA:
                base = window[at : at + 20]
                at += 20
        except IndexError:
            raise CorruptObject(f"an entry of {self.path.name} is truncated") from None
        if shift > 70 or kind in (0, 5):
            raise CorruptObject(f"an entry of {self.path.name} is damaged")
        return Entry(kind, size_bytes, base, offset + at, window, at)

    def inflate(self, entry: Entry) -> bytes:
        """Return the inflated stream of an entry. Raises CorruptObject, ObjectTooLarge."""
        size_bytes = entry.size_bytes
        if size_bytes > MAX_OBJECT_BYTES:
            raise ObjectTooLarge(f"{size_bytes:,} bytes")
        max_in = size_bytes + (size_bytes >> 10) + 64
        if entry.skip + max_in <= _WINDOW_BYTES:
            deflated = entry.window[entry.skip : entry.skip + max_in]
        else:
            deflated = os.pread(self._fd, max_in, entry.start)
        if size_bytes <= _ONE_SHOT_BYTES:
            try:
                data = zlib.decompress(deflated, 15, size_bytes + 1)
            except zlib.error:
                data = b""
            if len(data) == size_bytes > 0:
                return data
        return inflate_bounded(deflated, size_bytes, lambda done: os.pread(self._fd, max_in, entry.start + done))

    def result_size(self, entry: Entry) -> int:
        """Return the size in bytes of a delta's result, from its first bytes. Raises CorruptObject."""
        try:
            head = zlib.decompressobj().decompress(entry.window[entry.skip :], 32)
        except zlib.error as error:
            raise CorruptObject(str(error)) from None
        return delta_sizes(head)[1]

    def close(self) -> None:
        """Close the pack. It reopens on the next read."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Pack(PackFile):
    """A pack and its index. Raises CorruptObject if the index is unusable."""

    def __init__(self, index_path: Path) -> None:
        super().__init__(index_path.with_suffix(".pack"))
        with open(index_path, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes < _FAN_OUT.size + 2 * _TRAILER_BYTES:
                raise CorruptObject(f"{index_path.name} is too short")
            if not has_own_checksum(file, size_bytes):
                raise CorruptObject(f"{index_path.name} is damaged: its checksum is wrong")
            # A mapping holds a file descriptor, and some repositories have a thousand small packs.
            self._index: bytes | mmap.mmap = (
                file.read() if size_bytes < _MAPPED_BYTES else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )
        try:
            self._read_layout(index_path.name, size_bytes)
        except CorruptObject:
            self.close_index()
            raise

    def _read_layout(self, name: str, size_bytes: int) -> None:
        second = self._index[:4] == b"\377tOc"
        if second and unpack_from(">I", self._index, 4)[0] != 2:
            raise CorruptObject(f"{name} has an unknown version")
        head = 8 if second else 0
        if size_bytes < head + _FAN_OUT.size:
            raise CorruptObject(f"{name} is too short")
        fan_out = _FAN_OUT.unpack_from(self._index, head)
        self.count = fan_out[255]
        self._fan_out = (0, *fan_out)
        self._version = 2 if second else 1
        self._stride = 20 if second else 24
        self._names = head + _FAN_OUT.size + (0 if second else 4)
        self._offsets = head + _FAN_OUT.size + (24 * self.count if second else 0)
        self._large = self._offsets + 4 * self.count
        self._index_end = size_bytes - 2 * _TRAILER_BYTES
        needed = head + _FAN_OUT.size + (28 if second else 24) * self.count
        if any(a > b for a, b in zip(self._fan_out, fan_out, strict=False)) or needed > self._index_end:
            raise CorruptObject(f"{name} is damaged")
        # A byte too many or too few moves every later column: other objects would be read under the ids.
        if self._index_end != needed + (8 * self._count_large() if second else 0):
            raise CorruptObject(f"{name} is damaged: its size does not fit its {self.count:,} objects")

    def _count_large(self) -> int:
        """Return how many offsets are in the table of those that need eight bytes."""
        first_bytes = self._index[self._offsets : self._large : 4]
        return len(first_bytes.translate(None, _BELOW_128))

    def open(self) -> None:
        """Open the .pack file. Raises CorruptObject if it is missing, not a pack, or not that of the index."""
        super().open()
        if self.bytes_at(self.end, _TRAILER_BYTES) != self.checksum or self.declared_count < self.count:
            self.close()
            raise CorruptObject(f"{self.path.name} is damaged: it is not the pack of its index")

    @property
    def checksum(self) -> bytes:
        """The checksum of the pack according to the index, 20 bytes."""
        return self._index[self._index_end : self._index_end + 20]

    def find(self, id: bytes) -> int | None:
        """Return the offset of an object, None if it is not in this pack. Raises CorruptObject."""
        first = id[0]
        low = self._fan_out[first]
        high = self._fan_out[first + 1]
        if low == high:
            return None
        # Ids are uniform: search the bytes around the expected position, bisect only if that fails.
        guess = low + ((high - low) * int.from_bytes(id[1:4], "big") >> 24) - _NEAR
        guess = max(guess, low)
        at = self._names + guess * self._stride
        near = self._index[at : at + 2 * _NEAR * self._stride].find(id)
        number = guess + near // self._stride
        if near >= 0 and near % self._stride == 0 and number < high:
            return self._offset(number)
        return self._bisect(id, low, high)

    def _bisect(self, id: bytes, low: int, high: int) -> int | None:
        while low < high:
            middle = (low + high) >> 1
            at = self._names + middle * self._stride
            candidate = self._index[at : at + 20]
            if candidate < id:
                low = middle + 1
            elif candidate == id:
                return self._offset(middle)
            else:
                high = middle
        return None

    def _offset(self, number: int) -> int:
        offset: int
        if self._version == 1:
            (offset,) = unpack_from(">I", self._index, self._offsets + number * 24)
            return offset
        (offset,) = unpack_from(">I", self._index, self._offsets + number * 4)
        if not offset & 0x80000000:
            return offset
        at = self._large + (offset & 0x7FFFFFFF) * 8
        if at + 8 > self._index_end:
            raise CorruptObject(f"the index of {self.path.name} is damaged")
        (offset,) = unpack_from(">Q", self._index, at)
        return offset

    def close_index(self) -> None:
        if isinstance(self._index, mmap.mmap):
            self._index.close()


def has_own_checksum(file: BinaryIO, size_bytes: int) -> bool:
    """Return whether a file ends with the SHA-1 of the rest. Reads it: the pages of a mapping would count as memory."""
    digest, left = hashlib.sha1(usedforsecurity=False), size_bytes - _TRAILER_BYTES
    while left > 0 and (part := file.read(min(left, _MAPPED_BYTES))):
        digest.update(part)
        left -= len(part)
    checksum = file.read(_TRAILER_BYTES)
    file.seek(0)
    return digest.digest() == checksum


def inflate_bounded(deflated: bytes, size_bytes: int, more: Callable[[int], bytes]) -> bytes:
    """Inflate a stream of exactly `size_bytes`. `more(done)` returns further input from byte `done` of the stream on.

    Produces at most one byte too many, and rejects streams that are far longer than any regular encoder writes.
    Raises CorruptObject.
    """
    stream = zlib.decompressobj()
    parts: list[bytes] = []
    missing = size_bytes + 1
    read = 0
    max_in = 2 * size_bytes + 65_536
    try:
        while deflated and read <= max_in:
            read += len(deflated)
            while deflated and missing > 0 and not stream.eof:
                part = stream.decompress(deflated, missing)
                parts.append(part)
                missing -= len(part)
                deflated = stream.unconsumed_tail
            if missing <= 0:
                raise CorruptObject("larger than declared")
            if stream.eof:
                break
            deflated = more(read)
    except zlib.error as error:
        raise CorruptObject(f"damaged data ({error})") from None
    if missing != 1 or not stream.eof:
        raise CorruptObject("smaller than declared")
    return b"".join(parts)


def delta_sizes(delta: bytes) -> tuple[int, int]:
    """Return (size of the base, size of the result) in bytes, as a delta declares them. Raises CorruptObject."""
    at = base = result = shift = 0
    try:
        while (byte := delta[at]) & 0x80 and shift < 63:
            base |= (byte & 0x7F) << shift
            shift += 7
            at += 1
        base |= byte << shift
        at += 1
        shift = 0
        while (byte := delta[at]) & 0x80 and shift < 63:
            result |= (byte & 0x7F) << shift
            shift += 7
            at += 1
    except IndexError:
        raise CorruptObject("a damaged delta") from None
    return base, result | byte << shift
