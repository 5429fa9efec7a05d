"""Read objects in every layout as git does, and reject hostile ones within bounds."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pipeline.git.objects import (
    EMPTY_TREE,
    MAX_COMMIT_BYTES,
    CorruptObject,
    MissingObject,
    ObjectProblem,
    ObjectReader,
    ObjectTooLarge,
)
from tests.builders.history import History
from tests.builders.limits import run_limited
from tests.builders.objects import (
    BLOB,
    COMMIT,
    TREE,
    PackBuilder,
    bare_repository,
    bomb,
    copy,
    delta,
    insert,
    object_id,
    write_loose,
    write_loose_stream,
)
from tests.pipeline.git import children
from tests.rows import each_row

MIB = 1 << 20
SOME_ID = bytes(range(20))
KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}

Objects = dict[bytes, tuple[int, bytes]]  # type and content by id


def git(path: Path, *args: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", *args], cwd=path, input=stdin, check=True, capture_output=True).stdout


def grown_file(lines: int) -> str:
    return "".join(f"line {n} of a file that grows\n" for n in range(lines))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with chains of deltas, a large file, a tag and a submodule."""
    history = History()
    noise = Random(7).randbytes(300_000)
    for n in range(40):
        files: dict[str | bytes, str | bytes | None] = {"src/grows.py": grown_file(10 * n), f"doc/{n}.txt": str(n)}
        if n == 3:
            files["large.bin"] = noise
        if n == 5:
            files["large.bin"] = noise[:150_000] + b"!" + noise[150_000:]
        history.commit(f"commit {n}", files)
    history.commit("module", {"module": "a" * 40, "link": "src"}, modes={"module": "160000", "link": "120000"})
    path = history.write(tmp_path_factory.mktemp("objects") / "plain.git")
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    git(path, *person, "tag", "-a", "-m", "a tag", "v1", "main")
    git(path, "repack", "-adfq", "--depth=50")
    return path


def as_it_is(path: Path) -> None: ...


def loosen(path: Path) -> None:
    folder = path / "objects" / "pack"
    packs = [shutil.move(pack, path / pack.name) for pack in folder.glob("*.pack")]
    for other in folder.iterdir():
        other.unlink()
    for pack in packs:
        git(path, "unpack-objects", "-q", stdin=Path(pack).read_bytes())


def loosen_half(path: Path) -> None:
    every = sorted(ids_of(path))
    half = b"".join(id.hex().encode() + b"\n" for id in every[::2])
    rest = b"".join(id.hex().encode() + b"\n" for id in every[1::2])
    for ids in (half, rest):
        git(path, "pack-objects", "-q", str(path / "objects" / "pack" / "pack"), stdin=ids)


def name_bases(path: Path) -> None:
    """Deltas that name their base by id instead of by offset."""
    everything = b"".join(id.hex().encode() + b"\n" for id in ids_of(path))
    folder = path / "objects" / "pack"
    packed = git(path, "pack-objects", "-q", "--no-reuse-delta", "--stdout", stdin=everything)
    for old in folder.iterdir():
        old.unlink()
    (folder / "pack-named.pack").write_bytes(packed)
    git(path, "index-pack", str(folder / "pack-named.pack"))


def first_index_version(path: Path) -> None:
    for pack in (path / "objects" / "pack").glob("*.pack"):
        pack.with_suffix(".idx").unlink()
        git(path, "index-pack", "--index-version=1", str(pack))


def large_offsets(path: Path) -> None:
    """Every offset in the table of 64-bit offsets."""
    for pack in (path / "objects" / "pack").glob("*.pack"):
        pack.with_suffix(".idx").unlink()
        git(path, "index-pack", "--index-version=2,0x40", str(pack))


def borrow(path: Path) -> None:
    lender = path.with_name("lender.git")
    path.rename(lender)
    objects = bare_repository(path)
    (objects / "info").mkdir()
    (objects / "info" / "alternates").write_text("# a comment\n../../lender.git/objects\n")


def borrow_in_a_circle(path: Path) -> None:
    borrow(path)
    lender = path.with_name("lender.git")
    (lender / "objects" / "info").mkdir(exist_ok=True)
    (lender / "objects" / "info" / "alternates").write_text(f"{path / 'objects'}\n{lender / 'objects'}\n/nowhere\n")


def ids_of(path: Path) -> list[bytes]:
    listed = git(path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return [bytes.fromhex(line) for line in listed.decode().split()]


@pytest.fixture(scope="module")
def read_by_git(plain: Path) -> Objects:
    """The objects of `plain` by id, as git reads them."""
    stream = git(plain, "cat-file", "--batch-all-objects", "--batch")
    objects = {}
    while stream:
        head, _, stream = stream.partition(b"\n")
        name, kind, size = head.split()
        objects[bytes.fromhex(name.decode())] = (KINDS[kind], stream[: int(size)])
        stream = stream[int(size) + 1 :]
    return objects


@each_row(
    "arrange",
    [as_it_is, loosen, loosen_half, name_bases, first_index_version, large_offsets, borrow, borrow_in_a_circle],
)
def test_every_object_is_read_as_git_reads_it(
    plain: Path, tmp_path: Path, arrange: Callable[[Path], None], read_by_git: Objects
) -> None:
    path = tmp_path / arrange.__name__ / "copy.git"
    shutil.copytree(plain, path)
    arrange(path)
    ids = sorted(read_by_git)
    Random(1).shuffle(ids)
    for cache_bytes in (0, 20_000, 48 << 20):
        with ObjectReader(path / "objects", cache_bytes=cache_bytes) as reader:
            assert {id: reader.read(id) for id in ids} == read_by_git, cache_bytes
            assert reader.broken_packs == []


def test_an_object_is_read_only_as_its_own_type(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    blob = write_loose(objects, BLOB, b"text")
    with ObjectReader(objects) as reader:
        assert reader.blob(blob, 4) == b"text"
        for read in (reader.commit, reader.tree):
            with pytest.raises(CorruptObject) as caught:
                read(blob)
            assert caught.value.id == blob


def test_an_absent_object_is_missing(tmp_path: Path) -> None:
    with ObjectReader(bare_repository(tmp_path / "r")) as reader:
        with pytest.raises(MissingObject, match=SOME_ID.hex()) as caught:
            reader.read(SOME_ID)
        assert caught.value.id == SOME_ID


def test_a_delta_against_a_missing_object_is_missing(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = PackBuilder()
    pack.named_delta(SOME_ID, delta(1, 1, copy(0, 1)), id=b"d" * 20)
    pack.write(objects)
    with ObjectReader(objects) as reader:
        with pytest.raises(MissingObject) as caught:
            reader.read(b"d" * 20)
        assert caught.value.id == b"d" * 20


def test_the_empty_tree_need_not_be_stored(tmp_path: Path) -> None:
    with ObjectReader(bare_repository(tmp_path / "r")) as reader:
        assert reader.tree(EMPTY_TREE) == b""


def test_a_delta_base_may_be_loose_or_in_another_pack(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    loose = write_loose(objects, BLOB, b"loose base")
    first = PackBuilder()
    short, longer = object_id(BLOB, b"loose"), object_id(BLOB, b"loose!")
    first.named_delta(loose, delta(10, 5, copy(0, 5)), id=short)
    first.write(objects, "pack-a")
    second = PackBuilder()
    second.named_delta(short, delta(5, 6, copy(0, 5), insert(b"!")), id=longer)
    second.write(objects, "pack-b")
    with ObjectReader(objects) as reader:
        assert reader.read(longer) == (BLOB, b"loose!")


def test_a_pack_that_appears_later_is_found(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    with ObjectReader(objects) as reader:
        with pytest.raises(MissingObject):
            reader.read(object_id(BLOB, b"new"))
        os.utime(objects / "pack", ns=(1, 1))
        pack = PackBuilder()
        pack.whole(BLOB, b"new")
        pack.write(objects)
        assert reader.blob(object_id(BLOB, b"new"), 3) == b"new"


def test_a_hundred_packs_are_read(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    for n in range(100):
        pack = PackBuilder()
        pack.whole(BLOB, b"%d" % n)
        pack.write(objects, f"pack-{n}")
    with ObjectReader(objects, cache_bytes=0) as reader:
        for n in [*range(100), *range(100)]:
            assert reader.blob(object_id(BLOB, b"%d" % n), 9) == b"%d" % n
        held = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.exists()]
        assert sum(str(objects) in path for path in held) <= 64


def test_a_closed_reader_holds_no_file_and_finds_no_object(plain: Path) -> None:
    reader = ObjectReader(plain / "objects")
    id = ids_of(plain)[0]
    reader.read(id)
    reader.close()
    held = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.exists()]
    assert not any(str(plain) in path for path in held)
    with pytest.raises(MissingObject):
        reader.read(id)


# Damage


def outcome_of(reader: ObjectReader, id: bytes) -> tuple[int, bytes] | ObjectProblem:
    try:
        return reader.read(id)
    except ObjectProblem as problem:
        return problem


def damaged_read(objects: Path, expected: Objects) -> int:
    """Read every object, which must be unchanged or raise an error with its id. Return the number of errors."""
    with ObjectReader(objects, cache_bytes=0) as reader:
        outcomes = {id: outcome_of(reader, id) for id in expected}
    problems = {id: outcome for id, outcome in outcomes.items() if isinstance(outcome, ObjectProblem)}
    assert {id: expected[id] for id in outcomes.keys() - problems.keys()} == {
        id: outcomes[id] for id in outcomes.keys() - problems.keys()
    }
    assert [problem.id for problem in problems.values()] == list(problems)
    assert not any("\n" in str(problem) for problem in problems.values())
    return len(problems)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Objects, Path]:
    """(objects folder, its objects, the index of its only pack)"""
    objects = bare_repository(tmp_path / "small")
    pack = PackBuilder()
    contents = {b"base of some length": BLOB, b"tree?": TREE, b"commit?": COMMIT}
    offsets = {content: pack.whole(kind, content) for content, kind in contents.items()}
    result = b"base of some other length"
    change = delta(19, 25, copy(0, 13), insert(b"other "), copy(13, 6))
    pack.offset_delta(offsets[b"base of some length"], change, id=object_id(BLOB, result))
    expected = {object_id(kind, content): (kind, content) for content, kind in contents.items()}
    expected[object_id(BLOB, result)] = (BLOB, result)
    index = pack.write(objects)
    assert damaged_read(objects, expected) == 0
    return objects, expected, index


def test_a_truncated_pack_costs_only_objects(small) -> None:
    objects, expected, index = small
    pack = index.with_suffix(".pack")
    whole = pack.read_bytes()
    lost = []
    for size in range(0, len(whole) - 20):
        pack.write_bytes(whole[:size])
        lost.append(damaged_read(objects, expected))
    assert lost[0] == 4
    assert lost == sorted(lost, reverse=True)
    assert min(lost) > 0


def test_a_flipped_bit_is_an_error_or_harmless(small) -> None:
    objects, expected, index = small
    pack = index.with_suffix(".pack")
    whole = pack.read_bytes()
    flips = [(at, bit) for at in range(12, len(whole) - 20) for bit in (1, 0x10, 0x80)]
    unnoticed = 0
    for at, bit in flips:
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        with ObjectReader(objects, cache_bytes=0) as reader:
            outcomes = [outcome_of(reader, id) for id in expected]
        unnoticed += not any(isinstance(outcome, ObjectProblem) for outcome in outcomes)
    # No checksum protects types and the bases of deltas; other changes are detected.
    assert unnoticed <= len(flips) * 0.05


def test_a_truncated_index_costs_only_objects(small) -> None:
    objects, expected, index = small
    whole = index.read_bytes()
    for size in range(0, len(whole), 7):
        index.write_bytes(whole[:size])
        damaged_read(objects, expected)


@each_row("garbage", [b"", b"\0" * 3000, b"\xff" * 3000, b"\377tOc\0\0\0\3" + b"\0" * 3000])
def test_a_pack_with_a_garbage_index_is_reported_and_its_objects_are_missing(small, garbage: bytes) -> None:
    objects, expected, index = small
    index.write_bytes(garbage)
    with ObjectReader(objects) as reader:
        for id in expected:
            with pytest.raises(MissingObject):
                reader.read(id)
        assert reader.broken_packs in ([index.name], [])


def test_a_pack_without_an_index_is_ignored(small) -> None:
    objects, expected, index = small
    index.unlink()
    assert damaged_read(objects, expected) == len(expected)


def test_an_index_without_a_pack_makes_its_objects_unreadable(small) -> None:
    objects, expected, index = small
    index.with_suffix(".pack").unlink()
    assert damaged_read(objects, expected) == len(expected)


def test_an_intact_copy_replaces_a_damaged_one(small) -> None:
    objects, expected, index = small
    for suffix in (".pack", ".idx"):
        shutil.copy(index.with_suffix(suffix), index.with_name(f"pack-second{suffix}"))
    content = index.with_suffix(".pack").read_bytes()
    index.with_suffix(".pack").write_bytes(content[:12] + bytes(len(content) - 12))
    assert damaged_read(objects, expected) == 0


@each_row(
    "stream",
    [
        b"",
        b"no zlib",
        zlib.compress(b""),
        zlib.compress(b"blob 4"),
        zlib.compress(b"blob x\0text"),
        zlib.compress(b"blob -4\0text"),
        zlib.compress(b"blub 4\0text"),
        zlib.compress(b"blob 4\0tex"),
        zlib.compress(b"blob 4\0text!"),
        zlib.compress(b"blob 4\0text")[:-2],
        zlib.compress(b"blob " + b"9" * 60 + b"\0"),
    ],
)
def test_a_damaged_loose_object_is_an_error(small, stream: bytes) -> None:
    objects, _, _ = small
    write_loose_stream(objects, SOME_ID, stream)
    with ObjectReader(objects) as reader, pytest.raises((CorruptObject, ObjectTooLarge)) as caught:
        reader.read(SOME_ID)
    assert caught.value.id == SOME_ID


# Hostile packs, read in a child process with little memory and time


def read_limited(objects: Path, ids: list[bytes], most_bytes: int | None = None, *, most_mb: int = 150) -> list[str]:
    return run_limited(
        children.__name__, "read_all", str(objects), [id.hex() for id in ids], most_bytes, most_mb=most_mb
    )


def test_deflate_bombs_are_not_inflated(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    gigabyte = bomb(1024 * MIB)
    pack = PackBuilder()
    for number, declared in enumerate([10, 8_000, 100_000, 64 * MIB, 1024 * MIB, 1 << 60]):
        pack.raw(BLOB, declared, b"", gigabyte, bytes([number]) * 20)
    pack.write(objects)
    write_loose_stream(objects, b"l" * 20, bomb(1024 * MIB, b"blob 10\0"))
    write_loose_stream(objects, b"h" * 20, bomb(1024 * MIB, b"blob %d\0" % (1024 * MIB)))
    outcomes = read_limited(objects, [*(bytes([n]) * 20 for n in range(6)), b"l" * 20, b"h" * 20], most_mb=220)
    assert outcomes == [*["CorruptObject"] * 4, *["ObjectTooLarge"] * 2, "CorruptObject", "ObjectTooLarge"]


def test_a_large_blob_is_rejected_before_it_is_inflated(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    size = 50 * MIB
    pack = PackBuilder()
    base = pack.raw(BLOB, size, b"", bomb(size), b"w" * 20)
    pack.offset_delta(base, delta(size, size, *[copy(n << 20, 1 << 20) for n in range(50)]), id=b"d" * 20)
    small = pack.offset_delta(base, delta(size, 3, copy(5, 3)), id=b"s" * 20)
    pack.write(objects)
    write_loose_stream(objects, b"l" * 20, bomb(size, b"blob %d\0" % size))
    assert small > base
    ids = [b"w" * 20, b"d" * 20, b"l" * 20]
    assert read_limited(objects, ids, MIB, most_mb=30) == ["ObjectTooLarge"] * 3
    with ObjectReader(objects) as reader, pytest.raises(ObjectTooLarge, match="52,428,800 bytes") as caught:
        reader.blob(b"w" * 20, MIB)
    assert caught.value.id == b"w" * 20


def test_a_cycle_of_deltas_is_corrupt(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    same = delta(1, 1, copy(0, 1))
    first, second = PackBuilder(), PackBuilder()
    first.named_delta(b"b" * 20, same, id=b"a" * 20)
    first.named_delta(b"s" * 20, same, id=b"s" * 20)
    loop = first.named_delta(b"o" * 20, same, id=b"n" * 20)
    first.offset_delta(loop, same, id=b"o" * 20)
    second.named_delta(b"a" * 20, same, id=b"b" * 20)
    first.write(objects, "pack-a")
    second.write(objects, "pack-b")
    assert read_limited(objects, [letter * 20 for letter in (b"a", b"b", b"s", b"n", b"o")]) == ["CorruptObject"] * 5


def test_a_chain_of_ten_thousand_deltas_is_read(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = PackBuilder()
    offset = pack.whole(BLOB, b"x" * 1000)
    ids = []
    for n in range(10_000):
        ids.append(object_id(BLOB, b"x" * 1000 + b"y" * (n + 1)))
        offset = pack.offset_delta(offset, delta(1000 + n, 1001 + n, copy(0, 1000 + n), insert(b"y")), id=ids[-1])
    pack.write(objects)
    assert read_limited(objects, [ids[-1], ids[0], ids[5000], ids[-1]]) == ["11000", "1001", "6001", "11000"]


def test_a_delta_with_a_huge_result_is_rejected(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = PackBuilder()
    base = pack.whole(BLOB, bytes(8 * MIB))
    huge = delta(8 * MIB, 4096 * MIB, *[copy(0, 8 * MIB)] * 512)
    pack.offset_delta(base, huge, id=b"h" * 20)
    pack.offset_delta(base, delta(8 * MIB, 10, *[copy(0, 8 * MIB)] * 512), id=b"l" * 20)
    pack.write(objects)
    assert read_limited(objects, [b"h" * 20, b"l" * 20]) == ["ObjectTooLarge", "CorruptObject"]


def test_a_chain_that_produces_too_much_in_all_is_stopped(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = PackBuilder()
    size = 48 * MIB
    offset = pack.raw(BLOB, size, b"", bomb(size), b"w" * 20)
    ids = []
    for n in range(12):
        parts = [*[copy(0, 8 * MIB)] * 5, copy(0, 8 * MIB - 1), insert(bytes([n]))]
        ids.append(object_id(BLOB, bytes(size - 1) + bytes([n])))
        offset = pack.offset_delta(offset, delta(size, size, *parts), id=ids[-1])
    pack.write(objects)
    assert read_limited(objects, [ids[3], ids[11]], most_mb=300) == [str(size), "ObjectTooLarge"]


def test_an_oversized_commit_is_rejected(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    id = write_loose(objects, COMMIT, b"x" * (MAX_COMMIT_BYTES + 1))
    with ObjectReader(objects) as reader, pytest.raises(ObjectTooLarge):
        reader.commit(id)
