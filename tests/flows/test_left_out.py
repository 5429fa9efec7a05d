"""Repositories of which little or nothing is read are told why, each in its own words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bot.cli.main import run
from tests.builders.broken import git
from tests.builders.history import History
from tests.flows.command import Assay

PYTHON = "def run(a):\n    b = a\n    return b\n"


def repository(where: Path, files: dict[str, str], name: str = "told.git") -> Path:
    history = History()
    history.commit("start", files, day=0)
    changed = {path: content.replace("b = a", "b = a + 0") for path, content in files.items()}
    history.commit("fix: sums", changed, day=1_000)
    history.commit("end", {"head.txt": "end"}, day=2_000)
    return history.write(where / name)


REASONS = {
    "another language": ({"Sources/App.swift": "func run() {}"}, ".swift (Swift, 1 file)", "Swift is not read"),
    "no source at all": ({"book.md": "# One"}, "no source file", "no source file"),
    "all left out": ({"node_modules/a/a.py": PYTHON}, "node_modules/ (1)", "all code is left out by its path"),
}


@pytest.mark.parametrize(("files", "words", "title"), REASONS.values(), ids=REASONS)
def test_what_is_not_read_is_told_in_the_first_reason(
    assay: Assay, tmp_path: Path, files: dict[str, str], words: str, title: str
) -> None:
    path = repository(tmp_path, files)
    result = assay.judges(path)
    assert words in result["reasons"][0]
    assert (result["verdict"], result["measurable"], result["obstacle"]) == ("SKIP", False, title)
    text, page = assay.shows(path, tmp_path / "page.html")
    for shown in (" ".join(text.split()), page):
        assert words in shown
        assert "too little code" not in shown


def test_each_screening_counts_what_is_left_out(assay: Assay, tmp_path: Path) -> None:
    files = {"src/a.py": PYTHON, "tests/test_a.py": PYTHON, "tests/test_b.py": PYTHON, "vendor/c/c.py": PYTHON}
    path = repository(tmp_path, files)
    result = assay.judges(path)
    assert result["excluded_files"]["by_reason"] == {"test": 2, "vendored": 1}
    assert result["excluded_files"]["largest_folders"][0] == {"path": "tests/", "reason": "test", "files": 2}
    text, page = assay.shows(path, tmp_path / "page.html")
    assert "3 source files are left out by their path: 2 test, 1 vendored" in " ".join(text.split())
    assert "3 source files left out by their" in page


def test_a_partial_clone_is_named_with_the_way_out(assay: Assay, tmp_path: Path) -> None:
    whole = repository(tmp_path, {f"src/m{n}.py": PYTHON for n in range(5)}, "whole")
    git(whole, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{whole}", "part")
    result = assay.judges(tmp_path / "part")
    assert result["obstacle"] == "partial clone"
    assert "git fetch --refetch --no-filter" in result["reasons"][0]
    git(tmp_path / "part", "fetch", "-q", "--refetch", "--no-filter")
    healed = assay.judges(tmp_path / "part")
    assert (healed["obstacle"], healed["pairs"]) == (None, 5)


def test_replacements_that_git_log_follows_are_told(assay: Assay, tmp_path: Path) -> None:
    path = repository(tmp_path, {"a.py": PYTHON})
    git(path, "replace", "--graft", "HEAD")
    [note] = assay.judges(path)["notes"]
    assert note.startswith("1 replacement ref not followed: the history is read as it was committed")


@pytest.mark.parametrize("command", ["rank", "evaluate"])
def test_nothing_to_rank_or_to_evaluate_is_told_in_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "400")
    cases = {
        ".swift (Swift, 1 file)": {"a.swift": "func run() {}"},
        "nothing to": {"a.py": "x = 1\n"},
        "no source": {"a.md": "x"},
    }
    for number, (words, files) in enumerate(cases.items()):
        path = repository(tmp_path, files, f"nothing{number}.git")
        assert run([command, "--jobs", "1", str(path)]) == 0
        out = capsys.readouterr().out
        assert words in out
        assert len(out.strip().splitlines()) == 1, out


def test_a_rank_of_nothing_says_why_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    assert run(["rank", "--json", "--jobs", "1", str(repository(tmp_path, {"lib/a.ex": "defmodule A do"}))]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["items"] == []
    assert ".ex (Elixir, 1 file)" in result["notes"][0]


def test_a_density_above_the_threshold_is_never_called_unmeasurable(assay: Assay, tmp_path: Path) -> None:
    text, page = assay.shows(repository(tmp_path, {"a.py": PYTHON}), tmp_path / "page.html")
    for shown in (text, page):
        assert re.search("run could not be judged", shown, re.IGNORECASE)
        assert not re.search("cannot be measured", shown, re.IGNORECASE)


def test_the_rules_see_the_head_that_as_of_chooses(assay: Assay, tmp_path: Path) -> None:
    """A folder that was the whole product then is read then, whatever stands beside it now."""
    history = History()
    history.commit("start", {"demo/a.ts": "export function run(a) {\n  const b = a\n  return b\n}\n"}, day=0)
    history.commit("fix: sums", {"demo/a.ts": "export function run(a) {\n  const b = 1\n  return b\n}\n"}, day=1_000)
    history.commit("end", {"head.txt": "end"}, day=2_000)
    history.commit("a product", {f"src/m{n}.ts": "export const a = 1\n" for n in range(30)}, day=2_100)
    path = history.write(tmp_path / "grown.git")
    then = assay.judges(path, "--as-of", "2026-03-20")
    assert (then["pairs"], then["excluded_files"]["left_out"]) == (1, 0)
    assert assay.judges(path)["excluded_files"]["by_reason"] == {"documentation": 1}
