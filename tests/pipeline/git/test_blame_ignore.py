"""The list of commits that a project leaves out of blame, and what is no such list."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.git.blame_ignore import FILE_NAME, MAX_FILE_BYTES, ignored_by_blame
from pipeline.git.repository import open_repository
from tests.builders.history import History
from tests.rows import each_row

ONE, TWO = "12ab34cd" * 5, "98fe76ba" * 5


def listed(path: Path, content: str, name: str = FILE_NAME.decode(), mode: str = "100644") -> set[str]:
    history = History()
    history.commit("start", {name: content, "a.py": "x"}, modes={name: mode})
    repository = open_repository(history.write(path))
    with repository.reader() as reader:
        tree = bytes.fromhex(reader.commit(repository.head)[5:45].decode())
        return {commit.hex() for commit in ignored_by_blame(reader, tree)}


@each_row(
    ("content", "commits"),
    [
        (ONE, {ONE}),
        (f"# Format everything\n{ONE}\n\n  {TWO.upper()}  # and again\r\n", {ONE, TWO}),
        (f"# {ONE}\n{ONE[:12]}\n{ONE}0\nx {TWO}\n", set()),
        ("", set()),
        ("\n" * 1000 + ONE, {ONE}),
        (ONE + "\n" + "#" * MAX_FILE_BYTES, set()),
    ],
)
def test_full_ids_one_a_line_are_read(
    content: str, commits: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert listed(tmp_path_factory.mktemp("list") / "r.git", content) == commits


def test_only_a_file_at_the_root_counts(tmp_path: Path) -> None:
    assert listed(tmp_path / "a.git", ONE, "docs/.git-blame-ignore-revs") == set()
    assert listed(tmp_path / "b.git", ONE, "x.git-blame-ignore-revs") == set()
    assert listed(tmp_path / "c.git", ONE, mode="120000") == set()
