"""Index received packs exactly as git does, and reject hostile ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from pipeline.git.objects import ObjectReader
from pipeline.git.pack_index import index_pack
from tests.builders.history import History
from tests.builders.limits import run_limited
from tests.builders.objects import BLOB, PackBuilder, bare_repository, bomb, copy, delta, insert, object_id
from tests.pipeline.git import children
from tests.pipeline.git.children import index_or_problem

MIB = 1 << 20


def git(path: Path, *args: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", *args], cwd=path, input=stdin, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with chains of deltas, some of them against objects of more than 64 KiB."""
    history = History()
    noise = Random(3).randbytes(200_000)
    for n in range(60):
        files: dict[str, str | bytes] = {"a.py": "".join(f"line {k}\n" for k in range(20 * n)), f"d/{n}": str(n)}
        if n % 6 == 0:
            files["noise"] = noise[:100_000] + str(n).encode() + noise
        history.commit(f"commit {n}", files)
    return history.write(tmp_path_factory.mktemp("pack_index") / "source.git")


@pytest.mark.parametrize("options", [["--delta-base-offset"], []], ids=["bases by offset", "bases by id"])
def test_the_index_is_the_one_that_git_writes(source: Path, tmp_path: Path, options: list[str]) -> None:
    everything = git(source, "rev-list", "--objects", "--no-object-names", "main")
    packed = git(source, "pack-objects", "-q", "--stdout", "--depth=50", *options, stdin=everything)
    (tmp_path / "ours.pack").write_bytes(packed)
    (tmp_path / "theirs.pack").write_bytes(packed)
    git(tmp_path, "index-pack", "theirs.pack")
    reported: list[tuple[int, int]] = []
    assert index_pack(tmp_path / "ours.pack", lambda *done: reported.append(done)) == len(everything.split())
    assert (tmp_path / "ours.idx").read_bytes() == (tmp_path / "theirs.idx").read_bytes()
    assert reported[0] == (0, 2 * len(everything.split()))
    assert not list(tmp_path.glob("*.tmp"))


def test_an_empty_pack_has_an_empty_index(tmp_path: Path) -> None:
    (tmp_path / "p.pack").write_bytes(PackBuilder().content)
    assert index_pack(tmp_path / "p.pack") == 0
    shutil.copy(tmp_path / "p.pack", tmp_path / "q.pack")
    git(tmp_path, "index-pack", "q.pack")
    assert (tmp_path / "p.idx").read_bytes() == (tmp_path / "q.idx").read_bytes()


def test_a_truncated_or_altered_pack_is_rejected_at_every_byte(tmp_path: Path) -> None:
    pack = PackBuilder()
    base = pack.whole(BLOB, b"base")
    pack.whole(BLOB, b"other" * 50)
    pack.offset_delta(base, delta(4, 5, copy(0, 4), insert(b"!")), id=b"")
    whole = pack.content
    path = tmp_path / "p.pack"
    path.write_bytes(whole)
    assert index_or_problem(str(path)) == "3 objects"
    path.with_suffix(".idx").unlink()
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        assert index_or_problem(str(path)).startswith("CorruptObject")
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        assert index_or_problem(str(path)).startswith(("CorruptObject", "ObjectTooLarge"))
    path.write_bytes(whole + b"more")
    assert index_or_problem(str(path)).startswith("CorruptObject")
    assert os.listdir(tmp_path) == ["p.pack"]


def test_deltas_without_a_matching_base_are_left_out(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    same = delta(4, 4, copy(0, 4))
    pack = PackBuilder()
    pack.whole(BLOB, b"base")
    pack.named_delta(b"?" * 20, same, id=b"1" * 20)
    pack.named_delta(object_id(BLOB, b"base"), delta(4, 5, copy(0, 4), insert(b"!")), id=b"2" * 20)
    pack.named_delta(object_id(BLOB, b"base!"), delta(5, 6, copy(0, 5), insert(b"?")), id=b"3" * 20)
    pack.offset_delta(12, delta(9, 9, copy(0, 9)), id=b"4" * 20)
    path = pack.write(objects).with_suffix(".pack")
    assert index_pack(path) == 3
    with ObjectReader(objects) as reader:
        for content in (b"base", b"base!", b"base!?"):
            assert reader.read(object_id(BLOB, content)) == (BLOB, content)


def test_objects_too_large_to_read_are_still_indexed(tmp_path: Path) -> None:
    pack = PackBuilder()
    size = 80 * MIB
    base = pack.raw(BLOB, size, b"", bomb(size), b"w" * 20)
    pack.offset_delta(base, delta(size, 3, insert(b"abc")), id=b"s" * 20)
    path = tmp_path / "p.pack"
    path.write_bytes(pack.content)
    assert run_limited(children.__name__, "index_or_problem", str(path), most_mb=40) == "1 objects"


@pytest.mark.parametrize("declared", [10, 100_000, 1 << 60])
def test_a_bomb_is_rejected_immediately(tmp_path: Path, declared: int) -> None:
    pack = PackBuilder()
    pack.raw(BLOB, declared, b"", bomb(1024 * MIB), b"b" * 20)
    path = tmp_path / "p.pack"
    path.write_bytes(pack.content)
    said = run_limited(children.__name__, "index_or_problem", str(path), most_mb=40, cpu_s=5)
    assert said.startswith("ObjectTooLarge" if declared > 1 << 50 else "CorruptObject")


def test_a_pack_that_inflates_to_too_much_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.git.pack_index._SPARE_BYTES", 3 * MIB)
    monkeypatch.setattr("pipeline.git.pack_index._MAX_INFLATION", 1)
    pack = PackBuilder()
    base = pack.whole(BLOB, bytes(MIB))
    for n in range(5):
        pack.offset_delta(base, delta(MIB, MIB, copy(n, MIB - n), *[insert(b"x" * n)] * (n > 0)), id=b"")
    path = tmp_path / "p.pack"
    path.write_bytes(pack.content)
    assert index_or_problem(str(path)).startswith("ObjectTooLarge: the pack inflates to an implausible size")


def test_a_chain_of_ten_thousand_deltas_is_indexed(tmp_path: Path) -> None:
    pack = PackBuilder()
    offset = pack.whole(BLOB, b"x" * 1000)
    for n in range(10_000):
        offset = pack.offset_delta(offset, delta(1000 + n, 1001 + n, copy(0, 1000 + n), insert(b"y")), id=b"")
    path = tmp_path / "p.pack"
    path.write_bytes(pack.content)
    assert run_limited(children.__name__, "index_or_problem", str(path), most_mb=140) == "10001 objects"
