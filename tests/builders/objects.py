"""Build git objects by hand, loose and packed, including invalid ones that git would not write.

pack = PackBuilder()
base = pack.whole(BLOB, b"hello")
pack.offset_delta(base, delta(5, 10, copy(0, 5), copy(0, 5)), id=some_id)
pack.write(object_dir)
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
ZLIB_HEADER = b"\x78\x9c"


def object_id(kind: int, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (KINDS[kind], len(content), content)).digest()


def tree_content(*entries: tuple[str, str | bytes, bytes]) -> bytes:
    """Return a tree of entries (mode, name, id), in the given order."""
    return b"".join(
        mode.encode() + b" " + (name if isinstance(name, bytes) else name.encode()) + b"\0" + id
        for mode, name, id in entries
    )


def commit_content(tree: bytes, *parents: bytes, message: str = "message") -> bytes:
    lines = [f"tree {tree.hex()}", *(f"parent {parent.hex()}" for parent in parents)]
    person = "Ada <ada@example.org> 1600000000 +0000"
    return "\n".join([*lines, f"author {person}", f"committer {person}", "", message]).encode()


def write_loose(object_dir: Path, kind: int, content: bytes) -> bytes:
    """Write a loose object and return its id."""
    id = object_id(kind, content)
    write_loose_stream(object_dir, id, zlib.compress(b"%s %d\0%s" % (KINDS[kind], len(content), content)))
    return id


def write_loose_stream(object_dir: Path, id: bytes, stream: bytes) -> None:
    """Write any bytes as the loose object of an id."""
    path = object_dir / id.hex()[:2] / id.hex()[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream)


def bare_repository(path: Path, head: bytes | None = None, *, config: str = "") -> Path:
    """Create an empty bare repository, with `head` as commit of branch main, and return its `objects` folder."""
    (path / "objects" / "pack").mkdir(parents=True)
    (path / "refs" / "heads").mkdir(parents=True)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    (path / "config").write_text(f"[core]\n\trepositoryformatversion = 0\n\tbare = true\n{config}")
    if head is not None:
        set_head(path, head)
    return path / "objects"


def set_head(path: Path, head: bytes) -> None:
    (path / "refs" / "heads" / "main").write_text(head.hex() + "\n")


def bomb(size_bytes: int, head: bytes = b"") -> bytes:
    """Return a zlib stream of `head` and `size_bytes` (a multiple of 1 MiB) zeros, without allocating them."""
    block_bytes = 1 << 20
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflater.compress(head) + deflater.flush(zlib.Z_FULL_FLUSH) if head else b""
    block = deflater.compress(bytes(block_bytes)) + deflater.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    checksum = zlib.adler32(head)
    low, high = checksum & 0xFFFF, checksum >> 16
    checksum = ((high + size_bytes * low) % 65_521) << 16 | low  # adler-32 of zeros, in closed form
    return ZLIB_HEADER + first + block * (size_bytes // block_bytes) + last + struct.pack(">I", checksum)


def copy(offset: int, size_bytes: int) -> bytes:
    """Return a delta instruction that copies from the base."""
    command, arguments = 0x80, b""
    for bit, value in enumerate((*offset.to_bytes(4, "little"), *size_bytes.to_bytes(3, "little"))):
        if value:
            command |= 1 << bit
            arguments += bytes([value])
    return bytes([command]) + arguments


def insert(data: bytes) -> bytes:
    """Return a delta instruction that inserts 1 to 127 bytes."""
    return bytes([len(data)]) + data


def delta(base_bytes: int, result_bytes: int, *instructions: bytes) -> bytes:
    return varint(base_bytes) + varint(result_bytes) + b"".join(instructions)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@dataclass
class PackBuilder:
    """Build a pack entry by entry. Methods that add an entry return its offset."""

    body: bytearray = field(default_factory=lambda: bytearray(b"PACK\0\0\0\2\0\0\0\0"))
    entries: list[tuple[bytes, int]] = field(default_factory=list)  # (id, offset)

    def whole(self, kind: int, content: bytes, *, id: bytes | None = None) -> int:
        return self.raw(kind, len(content), b"", zlib.compress(content), id or object_id(kind, content))

    def offset_delta(self, base: int, delta: bytes, *, id: bytes) -> int:
        distance = len(self.body) - base
        encoded = [distance & 127]
        while distance := distance >> 7:
            distance -= 1
            encoded.insert(0, distance & 127 | 128)
        return self.raw(6, len(delta), bytes(encoded), zlib.compress(delta), id)

    def named_delta(self, base: bytes, delta: bytes, *, id: bytes) -> int:
        return self.raw(7, len(delta), base, zlib.compress(delta), id)

    def raw(self, kind: int, declared_bytes: int, base: bytes, stream: bytes, id: bytes) -> int:
        """Add an entry whose declared size and stream need not agree."""
        offset = len(self.body)
        byte, rest = kind << 4 | declared_bytes & 15, declared_bytes >> 4
        while rest:
            self.body.append(byte | 128)
            byte, rest = rest & 127, rest >> 7
        self.body.append(byte)
        self.body += base + stream
        self.entries.append((id, offset))
        return offset

    @property
    def content(self) -> bytes:
        """The .pack file."""
        self.body[8:12] = struct.pack(">I", len(self.entries))
        return bytes(self.body) + hashlib.sha1(self.body).digest()

    def write(self, object_dir: Path, name: str = "pack-made") -> Path:
        """Write the pack and an index with unchecked ids, and return the path of the index."""
        folder = object_dir / "pack"
        folder.mkdir(parents=True, exist_ok=True)
        content = self.content
        (folder / f"{name}.pack").write_bytes(content)
        ordered = sorted(self.entries)
        fan_out = [sum(id[0] <= first for id, _ in ordered) for first in range(256)]
        index = b"\377tOc\0\0\0\2" + struct.pack(">256I", *fan_out) + b"".join(id for id, _ in ordered)
        index += bytes(4 * len(ordered)) + b"".join(struct.pack(">I", offset) for _, offset in ordered)
        index += content[-20:]
        path = folder / f"{name}.idx"
        path.write_bytes(index + hashlib.sha1(index).digest())
        return path
