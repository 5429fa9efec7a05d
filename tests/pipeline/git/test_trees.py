"""Diff trees as git does, within bounds on hostile ones."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.objects import MissingObject, ObjectReader
from pipeline.git.trees import FileChange, TreeReader
from tests.builders.history import History
from tests.builders.limits import run_limited
from tests.builders.objects import TREE, PackBuilder, bare_repository, object_id, tree_content, write_loose
from tests.pipeline.git import children
from tests.rows import each_row

ONE, TWO, THREE = b"1" * 20, b"2" * 20, b"3" * 20
FILE, PROGRAM, LINK, MODULE, FOLDER = "100644", "100755", "120000", "160000", "40000"

Entry = tuple[str, "bytes | Folder"]
Folder = dict[str, Entry]  # name -> (mode, id of a blob or the entries of a folder)


class Trees:
    """Trees in memory, instead of an ObjectReader."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}

    def tree(self, id: bytes) -> bytes:
        if id not in self.contents:
            raise MissingObject(id.hex())
        return self.contents[id]

    def add(self, content: bytes) -> bytes:
        id = object_id(TREE, content)
        self.contents[id] = content
        return id

    def folder(self, entries: Folder) -> bytes:
        listed = [
            (mode, name, what if isinstance(what, bytes) else self.folder(what))
            for name, (mode, what) in sorted(entries.items())
        ]
        return self.add(tree_content(*listed))

    def reader(self) -> TreeReader:
        return TreeReader(cast(ObjectReader, self), keep=lambda path: True)

    def changes(self, old: Folder | None, new: Folder | None) -> list[FileChange]:
        old_id = None if old is None else self.folder(old)
        new_id = None if new is None else self.folder(new)
        return self.reader().changes(old_id, new_id)


def changed(path: str, old: bytes | None, new: bytes | None) -> FileChange:
    return FileChange(path.encode(), old, new)


@each_row(
    ("old", "new", "expected"),
    [
        (None, None, []),
        ({}, {}, []),
        ({"a": (FILE, ONE)}, {"a": (FILE, ONE)}, []),
        (None, {"a": (FILE, ONE)}, [changed("a", None, ONE)]),
        ({"a": (FILE, ONE)}, None, [changed("a", ONE, None)]),
        ({"a": (FILE, ONE)}, {"a": (FILE, TWO)}, [changed("a", ONE, TWO)]),
        ({"a": (FILE, ONE)}, {"b": (FILE, ONE)}, [changed("a", ONE, None), changed("b", None, ONE)]),
        ({"a": (FILE, ONE)}, {"a": (PROGRAM, ONE)}, []),
        ({"a": (FILE, ONE)}, {"a": (PROGRAM, TWO)}, [changed("a", ONE, TWO)]),
        ({"a": (FILE, ONE)}, {"a": ("100664", TWO)}, [changed("a", ONE, TWO)]),
        ({"a": (FILE, ONE)}, {"a": (LINK, ONE)}, [changed("a", ONE, None)]),
        ({"a": (LINK, ONE)}, {"a": (LINK, TWO)}, []),
        ({"a": (MODULE, ONE)}, {"a": (MODULE, TWO)}, []),
        ({"a": (MODULE, ONE)}, {"a": (FILE, ONE)}, [changed("a", None, ONE)]),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {"d": (FOLDER, {"a": (FILE, TWO)})}, [changed("d/a", ONE, TWO)]),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {}, [changed("d/a", ONE, None)]),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {"d": ("040000", {"a": (FILE, ONE)})}, []),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {"d": ("040000", {"a": (FILE, TWO)})}, [changed("d/a", ONE, TWO)]),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {"d": (FILE, TWO)}, [changed("d", None, TWO), changed("d/a", ONE, None)]),
        ({"d": (FILE, TWO)}, {"d": (FOLDER, {"a": (FILE, ONE)})}, [changed("d", TWO, None), changed("d/a", None, ONE)]),
        ({"d": (FOLDER, {"a": (FILE, ONE)})}, {"d": (MODULE, ONE)}, [changed("d/a", ONE, None)]),
        (
            {"a": (FILE, ONE), "a.b": (FILE, ONE), "a-b": (FOLDER, {"c": (FILE, ONE)})},
            {"a": (FILE, TWO), "a.b": (FILE, TWO), "a-b": (FOLDER, {"c": (FILE, TWO)})},
            [changed("a", ONE, TWO), changed("a-b/c", ONE, TWO), changed("a.b", ONE, TWO)],
        ),
    ],
)
def test_a_diff_lists_the_regular_files_that_differ(
    old: Folder | None, new: Folder | None, expected: list[FileChange]
) -> None:
    trees = Trees()
    assert trees.changes(old, new) == expected
    assert trees.changes(new, old) == [FileChange(path, after, before) for path, before, after in expected]


folders = st.recursive(
    st.dictionaries(
        st.sampled_from("abc"), st.tuples(st.sampled_from([FILE, LINK]), st.sampled_from([ONE, TWO, THREE]))
    ),
    lambda inner: st.dictionaries(
        st.sampled_from("abcd"),
        st.one_of(
            st.tuples(st.just(FOLDER), inner),
            st.tuples(st.sampled_from([FILE, PROGRAM, MODULE]), st.sampled_from([ONE, TWO])),
        ),
    ),
    max_leaves=12,
)


def regular_files(folder: Folder, prefix: str = "") -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, (mode, what) in folder.items():
        if isinstance(what, dict):
            found.update(regular_files(what, f"{prefix}{name}/"))
        elif mode.startswith("10"):
            found[f"{prefix}{name}".encode()] = what
    return found


@given(folders, folders)
def test_a_diff_is_the_difference_of_two_listings(old: Folder, new: Folder) -> None:
    trees = Trees()
    before, after = regular_files(old), regular_files(new)
    expected = [
        FileChange(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    assert trees.changes(old, new) == expected
    assert trees.reader().files(trees.folder(new)) == after


def test_a_diff_agrees_with_git_on_odd_paths(tmp_path: Path) -> None:
    history = History()
    odd: list[str | bytes] = [
        b"caf\xe9.py",
        "new\nline.py",
        "tab\t.py",
        '"quoted".py',
        "dir with space/ü.py",
        b"\x01\x7f",
    ]
    files: dict[str | bytes, str | bytes | None] = dict.fromkeys(odd, "one")
    first = history.commit("first", files | {"plain.py": "x", "gone/a": "1", "gone/b": "2"})
    second = history.commit(
        "second",
        {**dict.fromkeys(odd, "two"), "gone/a": None, "gone/b": None, "module": "a" * 40, "link": "plain.py"},
        modes={"module": "160000", "link": "120000"},
    )
    path = history.write(tmp_path / "r.git")
    ids = [history.ids[mark] for mark in (first, second)]
    raw = subprocess.run(
        ["git", "diff-tree", "-r", "-z", "--no-renames", *ids], cwd=path, check=True, capture_output=True
    ).stdout.split(b"\0")
    expected = []
    for described, name in zip(raw[::2], raw[1::2], strict=False):
        _, new_mode, old_id, new_id, _ = described.decode().lstrip(":").split(" ")
        if new_mode not in ("120000", "160000"):
            sides = [bytes.fromhex(id) if id.strip("0") else None for id in (old_id, new_id)]
            expected.append(FileChange(name, *sides))
    with ObjectReader(path / "objects") as reader:
        tree_ids = [bytes.fromhex(reader.commit(bytes.fromhex(id))[5:45].decode()) for id in ids]
        trees = TreeReader(reader, keep=lambda path: True)
        assert trees.changes(*tree_ids) == sorted(expected)
    assert len(expected) == len(odd) + 2


def test_only_kept_paths_are_listed_and_each_is_tested_once() -> None:
    trees = Trees()
    asked: list[bytes] = []

    def keep(path: bytes) -> bool:
        asked.append(path)
        return path.endswith(b".py")

    reader = TreeReader(cast(ObjectReader, trees), keep)
    tree = trees.folder({"a.py": (FILE, ONE), "b.txt": (FILE, ONE), "d": (FOLDER, {"c.py": (FILE, ONE)})})
    assert reader.files(tree) == {b"a.py": ONE, b"d/c.py": ONE}
    assert sorted(asked) == [b"a.py", b"b.txt", b"d/c.py"]


# Missing and malformed trees


def test_nothing_changes_below_a_missing_tree() -> None:
    trees = Trees()
    here = trees.folder({"a": (FILE, ONE)})
    old = trees.add(tree_content((FILE, "f", ONE), (FOLDER, "d", here)))
    new = trees.add(tree_content((FILE, "f", TWO), (FOLDER, "d", b"?" * 20)))
    reader = trees.reader()
    for _ in range(2):
        assert reader.changes(old, new) == [FileChange(b"f", ONE, TWO)]
        assert reader.changes(new, old) == [FileChange(b"f", TWO, ONE)]
    assert reader.missing == 1
    assert reader.files(new) == {b"f": TWO}
    assert reader.changes(None, b"!" * 20) == reader.changes(b"!" * 20, old) == []
    assert reader.missing == 2
    assert reader.skipped == 0


@each_row(
    "content",
    [
        b"garbage",
        tree_content((FILE, "a", ONE))[:-1],
        tree_content((FILE, "a", ONE)) + b"x",
        b"x" + tree_content((FILE, "a", ONE)),
        tree_content(("rwx", "a", ONE)),
        tree_content((FILE, "", ONE)),
        b"100644 a" + ONE,
    ],
)
def test_a_malformed_tree_counts_as_missing(content: bytes) -> None:
    trees = Trees()
    old = trees.folder({"a": (FILE, ONE)})
    reader = trees.reader()
    assert reader.changes(old, trees.add(content)) == []
    assert reader.missing == 1


@each_row("name", [b".", b"..", b"a/b", b"/"])
def test_an_invalid_name_is_left_out(name: bytes) -> None:
    trees = Trees()
    reader = trees.reader()
    assert reader.files(trees.add(tree_content((FILE, name, ONE), (FILE, "ok", TWO)))) == {b"ok": TWO}
    assert reader.skipped == 1


def test_a_repeated_name_counts_once_in_any_order() -> None:
    trees = Trees()
    entries = [(FILE, "a", ONE), (FILE, "a", TWO)]
    listings = [trees.reader().files(trees.add(tree_content(*order))) for order in (entries, entries[::-1])]
    assert listings[0] == listings[1] == {b"a": TWO}


# Hostile trees, read in a child process with little memory and time


def listed_limited(objects: Path, tree: bytes) -> list[int]:
    listed = run_limited(children.__name__, "list_twice", str(objects), tree.hex(), most_mb=120, cpu_s=15)
    assert listed[0] == listed[1]
    return list(listed[0])


def test_a_tree_bomb_is_cut_short(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    tree = write_loose(objects, TREE, tree_content(*((FILE, f"f{n}", ONE) for n in range(10))))
    for _ in range(10):
        tree = write_loose(objects, TREE, tree_content(*((FOLDER, f"d{n}", tree) for n in range(10))))
    files, skipped = listed_limited(objects, tree)
    assert 0 < files <= 10_000
    assert skipped > 0


def test_a_tree_bomb_of_different_trees_is_cut_short(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    level = [write_loose(objects, TREE, tree_content((FILE, f"f{n}", ONE))) for n in range(100)]
    for depth in range(4):
        content = tree_content(*((FOLDER, f"d{n:02}", tree) for n, tree in enumerate(level)))
        level = [
            write_loose(objects, TREE, content + tree_content((FILE, f"unlike{depth}-{n}", ONE))) for n in range(30)
        ]
    files, skipped = listed_limited(objects, level[0])
    assert 0 < files < 500_000
    assert skipped > 0


def test_trees_five_thousand_levels_deep_are_read_up_to_the_limit_of_paths(tmp_path: Path) -> None:
    objects = bare_repository(tmp_path / "r")
    pack = PackBuilder()
    content = tree_content((FILE, "f", ONE))
    for _ in range(5_000):
        pack.whole(TREE, content)
        content = tree_content((FOLDER, "d", object_id(TREE, content)), (FILE, "f", ONE))
    pack.whole(TREE, content)
    pack.write(objects)
    tree = object_id(TREE, content)
    files, skipped = listed_limited(objects, tree)
    assert files == 2_048  # "d/" two thousand times, and a name: 4,096 bytes
    assert skipped == 1


def test_a_long_name_is_left_out() -> None:
    trees = Trees()
    reader = trees.reader()
    assert reader.files(trees.add(tree_content((FILE, "a" * 4_096, ONE), (FILE, "b" * 4_097, ONE)))) == {
        b"a" * 4_096: ONE
    }
    assert reader.skipped == 1


def test_evicted_trees_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.git.trees.MAX_CACHED_BYTES", 2_000)
    trees = Trees()
    versions = [trees.folder({f"f{k}": (FILE, bytes([n, k]) * 10) for k in range(5)}) for n in range(30)]
    reader = trees.reader()
    for _ in range(2):
        assert [len(reader.changes(a, b)) for a, b in pairwise(versions)] == [5] * 29
