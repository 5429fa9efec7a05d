from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.cli.report_file import STDOUT, check_report, write_report
from pipeline.records import AssayError


@pytest.mark.parametrize(("path", "as_json"), [(None, True), (STDOUT, False), (Path("page.html"), True)])
def test_what_can_be_written_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path | None, as_json: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    check_report("--html", path, as_json)
    assert os.listdir(tmp_path) == []


def test_two_answers_on_stdout_are_refused() -> None:
    with pytest.raises(AssayError, match=r"^--html - and --json would both write to stdout: name a file for --html$"):
        check_report("--html", STDOUT, True)


@pytest.mark.parametrize(
    ("name", "words"), [("none/x.html", "there is no folder .*/none to write x.html in"), (".", "is a folder")]
)
def test_what_cannot_be_written_is_refused_with_its_option(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(AssayError, match=f"^--html .*: .*{words}"):
        check_report("--html", tmp_path / name, False)


def test_a_file_is_written_whole_and_leaves_stdout_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not write_report(Path("x.html"), "ρ\n")
    assert ((tmp_path / "x.html").read_text(encoding="utf-8"), os.listdir(tmp_path)) == ("ρ\n", ["x.html"])
    assert not write_report(None, "nowhere")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["<html>", "<html>\n"])
def test_stdout_is_taken_by_a_report_that_goes_there_and_ends_in_one_line_break(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert write_report(STDOUT, text)
    assert capsys.readouterr().out == "<html>\n"
