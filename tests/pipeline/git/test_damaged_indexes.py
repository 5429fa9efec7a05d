"""Damaged indexes, packs and names: an object's content, or an error, and never the content of another object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.git.objects import CorruptObject, ObjectProblem, ObjectReader
from tests.builders.objects import BLOB, PackBuilder, bare_repository, object_id, write_loose

CONTENTS = [b"%d" % number * number for number in range(40)]
IDS = [object_id(BLOB, content) for content in CONTENTS]


def a_pack(objects: Path, name: str = "pack-made") -> Path:
    """A pack of CONTENTS; returns the path of its index."""
    pack = PackBuilder()
    for content in CONTENTS:
        pack.whole(BLOB, content)
    return pack.write(objects, name)


def resealed(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file whose last 20 bytes are its checksum, and make the checksum right."""
    body = change(path.read_bytes()[:-20])
    path.write_bytes(body + hashlib.sha1(body).digest())


def swapped(body: bytes, at: int, size: int) -> bytes:
    return body[:at] + body[at + size : at + 2 * size] + body[at : at + size] + body[at + 2 * size :]


NAMES_AT = 8 + 1024
CHECKSUMS_AT = NAMES_AT + 20 * len(CONTENTS)
OFFSETS_AT = CHECKSUMS_AT + 4 * len(CONTENTS)
DAMAGED_INDEXES: dict[str, Callable[[bytes], bytes]] = {
    "bytes too many in the offsets": lambda body: (
        body[:OFFSETS_AT] + body[OFFSETS_AT : OFFSETS_AT + 12] + body[OFFSETS_AT:]
    ),
    "an eight-byte offset too many": lambda body: body[:-20] + bytes(8) + body[-20:],
    "bytes too many in the names": lambda body: body[:NAMES_AT] + bytes(8) + body[NAMES_AT:],
    "bytes too few": lambda body: body[:OFFSETS_AT] + body[OFFSETS_AT + 8 :],
    "a large offset without its place": lambda body: body[:OFFSETS_AT] + b"\x80\0\0\0" + body[OFFSETS_AT + 4 :],
    "two offsets swapped": lambda body: swapped(body, OFFSETS_AT, 4),
    "two offsets and their checksums swapped": lambda body: swapped(swapped(body, OFFSETS_AT, 4), CHECKSUMS_AT, 4),
    "two names swapped": lambda body: swapped(body, NAMES_AT, 20),
    "an offset twice": lambda body: body[: OFFSETS_AT + 4] + body[OFFSETS_AT : OFFSETS_AT + 4] + body[OFFSETS_AT + 8 :],
}


def test_a_damaged_index_never_gives_another_objects_content(tmp_path: Path) -> None:
    for number, (what, change) in enumerate(DAMAGED_INDEXES.items()):
        objects = bare_repository(tmp_path / f"r{number}")
        resealed(a_pack(objects), change)
        refused = 0
        with ObjectReader(objects) as reader:
            for id, content in [*zip(IDS, CONTENTS, strict=True)] * 2:
                try:
                    assert (what, reader.read(id)) == (what, (BLOB, content))
                except ObjectProblem:
                    refused += 1
        assert (what, refused > 0) == (what, True)


def test_an_index_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    index = a_pack(objects)
    body = bytearray(index.read_bytes())
    body[CHECKSUMS_AT] ^= 1
    index.write_bytes(body)
    with ObjectReader(objects) as reader:
        assert reader.broken_packs == [index.name]


def test_a_pack_that_is_not_the_one_of_its_index_is_refused(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = a_pack(objects).with_suffix(".pack")
    whole = pack.read_bytes()
    fewer = whole[:8] + b"\0\0\0\1" + whole[12:-20]
    for content in (whole[:-20] + bytes(20), whole[:-1], fewer + whole[-20:], whole + b"x"):
        pack.write_bytes(content)
        with ObjectReader(objects) as reader, pytest.raises(CorruptObject, match="not the pack of its index"):
            reader.read(IDS[5])


def test_another_copy_is_read_where_one_has_the_content_of_another_object(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    resealed(a_pack(objects, "pack-a"), lambda body: swapped(body, OFFSETS_AT, 4))
    for content in CONTENTS:
        write_loose(objects, BLOB, content)
    with ObjectReader(objects) as reader:
        assert [reader.read(id)[1] for id in IDS] == CONTENTS


def test_a_loose_object_under_another_name_is_refused(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    write_loose(objects, BLOB, b"one")
    one, two = object_id(BLOB, b"one").hex(), object_id(BLOB, b"two").hex()
    (objects / two[:2]).mkdir(exist_ok=True)
    (objects / one[:2] / one[2:]).rename(objects / two[:2] / two[2:])
    with ObjectReader(objects) as reader, pytest.raises(CorruptObject, match="content is that of another object"):
        reader.read(bytes.fromhex(two))
