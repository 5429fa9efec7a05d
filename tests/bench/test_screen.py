"""What the benchmark compares, and its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.processes import run
from bench.screen import as_json, bare_copy, commits_in_windows, main, parse_named, sample
from tests.bench.test_figures import figures
from tests.builders.history import DAY_S, START, History


def test_json_has_the_ratios_and_their_inputs() -> None:
    fields = json.loads(json.dumps(as_json(figures())))
    assert fields["cold"]["ratio"]["median"] == 2.0
    assert fields["pydriller"]["ratio"] == pytest.approx(30.5)
    assert fields["second"]["same_density"] is True


@pytest.mark.parametrize(
    ("most", "expected"), [(0, 10), (-1, 10), (3, 3), (10, 10), (99, 10)], ids=["all", "none", "some", "equal", "more"]
)
def test_a_sample_keeps_the_order_and_is_reproducible(most: int, expected: int) -> None:
    hashes = [f"{number:040x}" for number in range(10)]
    chosen = sample(hashes, most)
    assert len(chosen) == expected
    assert chosen == sorted(chosen) == sample(hashes, most)


@pytest.mark.parametrize(
    ("given", "name", "path"),
    [
        ("clones/a", "", "clones/a"),
        ("owner/name=clones/a", "owner/name", "clones/a"),
        ("n=a=b", "n", "a=b"),
    ],
)
def test_a_repository_may_be_given_a_name(given: str, name: str, path: str) -> None:
    assert parse_named(given) == (name, Path(path))


def test_a_path_with_an_equals_sign_that_exists_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "a=b"
    folder.mkdir()
    assert parse_named(str(folder)) == ("", folder)


def test_the_commits_compared_are_the_non_merges_landing_in_the_windows(tmp_path: Path) -> None:
    history = History()
    root = history.commit("start", {"a.py": "x = 1\n"}, day=0)
    history.commit("too early", {"a.py": "x = 2\n"}, day=10)
    side = history.commit("on a branch, old", {"b.py": "y = 1\n"}, day=5, branch="side", parents=[root])
    inside = history.commit("inside", {"a.py": "x = 3\n"}, day=20)
    history.merge("merge", inside, side, day=25)
    last = history.commit("last", {"a.py": "x = 4\n"}, day=30)
    history.commit("after", {"a.py": "x = 5\n"}, day=40)
    path = history.write(tmp_path / "repo.git")
    found = commits_in_windows(path, START + 10 * DAY_S, START + 30 * DAY_S)
    assert found == [history.ids[mark] for mark in (inside, side, last)]


def test_a_copy_borrows_the_objects_and_moves_its_own_branch(tmp_path: Path) -> None:
    history = History()
    first = history.commit("first", {"a.py": "x = 1\n"}, day=0)
    second = history.commit("second", {"a.py": "x = 2\n"}, day=1)
    path = history.write(tmp_path / "repo.git")
    copy = bare_copy(path, tmp_path / "copy.git")
    run(["git", "-C", str(copy), "update-ref", "HEAD", history.ids[first]])

    def head(folder: Path) -> str:
        return run(["git", "-C", str(folder), "rev-parse", "HEAD"]).output.decode().strip()

    assert (head(copy), head(path)) == (history.ids[first], history.ids[second])
    assert list((copy / "objects").rglob("*.pack")) == []


def test_without_a_repository_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "make bench REPOS=" in capsys.readouterr().err


def test_a_path_without_a_repository_is_a_one_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere"), "--runs", "1"]) == 2
    told = capsys.readouterr().err.strip()
    assert told.count("\n") == 0
    assert "does not exist" in told
