"""Repositories made to take all memory or to never end, screened in a process that may take little of either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders.broken import HEALTHY_DENSITY, HEALTHY_PAIRS, Entry, Guest, healthy, write_by_hand
from tests.builders.code import module
from tests.builders.objects import (
    BLOB,
    TREE,
    PackBuilder,
    bomb,
    copy,
    delta,
    insert,
    object_id,
    set_head,
    tree_content,
    write_loose_stream,
)
from tests.flows.command import MOST_MB, Answer, assert_usable, in_child, json_of, line_of

GIB = 1 << 30
FILE, FOLDER = "100644", "40000"
AS_HEALTHY = (HEALTHY_PAIRS, HEALTHY_DENSITY)
THREE = module("1", "1", "1")
THREE_ID = object_id(BLOB, THREE.encode())
# Beside three functions that nobody ever fixed.
WITH_THREE = (HEALTHY_PAIRS + 3, HEALTHY_DENSITY * HEALTHY_PAIRS / (HEALTHY_PAIRS + 3))
ENDINGS = ("py", "js", "jsx", "ts", "tsx", "java", "go", "c", "cpp", "rs", "cs", "rb", "php", "kt")


def with_entries(path: Path, *entries: Entry, pack: PackBuilder) -> Path:
    """A healthy history with these entries in each of its trees."""
    write_by_hand(healthy(), path, *entries)
    pack.write(path / "objects")
    return path


def fifty_megabytes(path: Path) -> Path:
    line = b"def f(a):\n    b = a + 1\n    return b\n"
    large = line * (50_000_000 // len(line))
    return healthy(("large.py", large, large + b"# end\n", FILE)).write(path)


def brackets(path: Path) -> Path:
    """A hundred thousand in every language, opened and never closed; and all of them closed."""
    guests: list[Guest] = []
    for ending in ENDINGS:
        opened = ("<?php\n" if ending == "php" else "") + "(\n" * 100_000
        guests.append((f"a.{ending}", opened, opened + "[", FILE))
    closed = "x = " + "[\n" * 100_000 + "]" * 100_000 + "\n"
    guests.append(("closed.py", closed, closed + "y = 1\n", FILE))
    return write_by_hand(healthy(*guests), path)


def tree_bomb(path: Path) -> Path:
    pack = PackBuilder()
    pack.whole(BLOB, THREE.encode())
    content = tree_content(*((FILE, f"f{n}.py", THREE_ID) for n in range(10)))
    for _ in range(10):
        pack.whole(TREE, content)
        content = tree_content(*((FOLDER, f"d{n}", object_id(TREE, content)) for n in range(10)))
    pack.whole(TREE, content)
    return with_entries(path, (FOLDER, "a", object_id(TREE, content)), pack=pack)


def deep_folders(path: Path) -> Path:
    pack = PackBuilder()
    pack.whole(BLOB, THREE.encode())
    content = tree_content((FILE, "f.py", THREE_ID))
    for _ in range(5_000):
        pack.whole(TREE, content)
        content = tree_content((FOLDER, "d", object_id(TREE, content)))
    pack.whole(TREE, content)
    return with_entries(path, (FOLDER, "deep", object_id(TREE, content)), pack=pack)


def deflate_bombs(path: Path) -> Path:
    """Files and folders of 1 GiB in 1 MB, loose and packed, that say how large they are and that do not."""
    pack = PackBuilder()
    entries: list[Entry] = []
    for kind, word in ((BLOB, b"blob"), (TREE, b"tree")):
        for declared_bytes in (10, GIB):
            id = b"p%02d%017d" % (kind, declared_bytes)
            pack.raw(kind, declared_bytes, b"", bomb(GIB), id)
            entries.append((FILE, id + b".py", id) if kind == BLOB else (FOLDER, id, id))
            id = b"l" + id[1:]
            write_loose_stream(path / "objects", id, bomb(GIB, b"%s %d\0" % (word, declared_bytes)))
            entries.append((FILE, id + b".py", id) if kind == BLOB else (FOLDER, id, id))
    return with_entries(path, *entries, pack=pack)


def bomb_for_a_head(declared_bytes: int) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        write_by_hand(healthy(), path)
        write_loose_stream(path / "objects", b"h" * 20, bomb(GIB, b"commit %d\0" % declared_bytes))
        set_head(path, b"h" * 20)
        return path

    return build


def delta_cycle(path: Path) -> Path:
    pack = PackBuilder()
    pack.named_delta(b"y" * 20, delta(1, 1, copy(0, 1)), id=b"z" * 20)
    pack.named_delta(b"z" * 20, delta(1, 1, copy(0, 1)), id=b"y" * 20)
    return with_entries(path, (FILE, "z.py", b"z" * 20), pack=pack)


def delta_chain(path: Path) -> Path:
    """Ten thousand deltas, each of which adds an empty line."""
    pack = PackBuilder()
    start = THREE.encode()
    offset = pack.whole(BLOB, start)
    for n in range(10_000):
        size = len(start) + n
        step = delta(size, size + 1, copy(0, size), insert(b"\n"))
        offset = pack.offset_delta(offset, step, id=object_id(BLOB, start + b"\n" * (n + 1)))
    return with_entries(path, (FILE, "z.py", object_id(BLOB, start + b"\n" * 10_000)), pack=pack)


@dataclass(frozen=True)
class Bombs:
    """What came of each of them, and of a healthy repository screened with the same data directory right after it."""

    data_dir: Path
    paths: dict[str, Path]
    answers: dict[str, Answer]
    good: dict[str, Answer]

    def judged(self, name: str) -> dict[str, Any]:
        assert_usable(self.data_dir, self.good[name])
        result = json_of(self.answers[name])
        assert result["peak_rss_mb"] < MOST_MB
        return result

    def refused(self, name: str) -> str:
        assert_usable(self.data_dir, self.good[name])
        return line_of(self.answers[name])


BUILDERS = {
    "fifty megabytes": fifty_megabytes,
    "brackets": brackets,
    "tree bomb": tree_bomb,
    "deep folders": deep_folders,
    "deflate bombs": deflate_bombs,
    "small head": bomb_for_a_head(200),
    "large head": bomb_for_a_head(GIB),
    "delta cycle": delta_cycle,
    "delta chain": delta_chain,
}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory, good: Path) -> Bombs:
    folder = tmp_path_factory.mktemp("bombs")
    paths = {name: build(folder / f"{name}.git") for name, build in BUILDERS.items()}
    answers = in_child(folder / "data", [source for path in paths.values() for source in (path, good)])
    came, good_after = (dict(zip(paths, answers[first::2], strict=True)) for first in (0, 1))
    return Bombs(folder / "data", paths, came, good_after)


def test_a_file_of_fifty_megabytes_is_not_read(bombs: Bombs) -> None:
    result = bombs.judged("fifty megabytes")
    assert (result["pairs"], result["density"]) == AS_HEALTHY
    assert result["notes"] == ["1 file not read as source: 1 too large"]
    assert result["peak_rss_mb"] < 150


def test_a_hundred_thousand_brackets_cost_the_file_they_are_in(bombs: Bombs) -> None:
    result = bombs.judged("brackets")
    assert (result["pairs"], result["density"]) == AS_HEALTHY


def test_a_tree_bomb_is_cut_short(bombs: Bombs) -> None:
    result = bombs.judged("tree bomb")
    assert result["pairs"] > HEALTHY_PAIRS
    assert any("of oversized folders left out" in note for note in result["notes"])


def test_folders_five_thousand_levels_deep_are_read_as_far_as_a_path_may_be_long(bombs: Bombs) -> None:
    result = bombs.judged("deep folders")
    assert (result["pairs"], result["density"]) == AS_HEALTHY
    assert any("of oversized folders left out" in note for note in result["notes"])


def test_deflate_bombs_are_not_inflated(bombs: Bombs) -> None:
    result = bombs.judged("deflate bombs")
    assert (result["pairs"], result["density"]) == AS_HEALTHY
    assert result["notes"] == [
        "4 folders missing or broken: taken as unchanged",
        "2 objects missing: 0 pairs left out, 2 files of the snapshots taken as empty",
        "2 files not read as source: 2 too large",
    ]


@pytest.mark.parametrize("name", ["small head", "large head"])
def test_a_head_that_is_a_deflate_bomb_is_refused(bombs: Bombs, name: str) -> None:
    said = bombs.refused(name)
    assert said.startswith(f"the head of {bombs.paths[name]} cannot be read (")
    assert said.endswith("run git fsck there, or clone it again")


def test_a_cycle_of_deltas_is_stated(bombs: Bombs) -> None:
    result = bombs.judged("delta cycle")
    assert (result["pairs"], result["density"]) == AS_HEALTHY
    assert result["notes"] == ["1 object missing: 0 pairs left out, 1 file of the snapshots taken as empty"]


def test_a_chain_of_ten_thousand_deltas_is_read_to_its_end(bombs: Bombs) -> None:
    result = bombs.judged("delta chain")
    assert (result["pairs"], result["density"]) == pytest.approx(WITH_THREE, abs=1e-12)
    assert result["notes"] == []
