import os
from pathlib import Path

import pytest

from bot.cli.files import STDOUT, check_report, read_whole, require_writable, write_report, write_whole
from pipeline.records import AssayError


def test_written_text_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "ρ ≥ 0.03\n")
    assert read_whole(path, 100).decode() == "ρ ≥ 0.03\n"
    write_whole(path, "new")
    assert read_whole(path, 3) == b"new"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_written_file_follows_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    before = os.umask(0o027)
    try:
        write_whole(path, "x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_an_unwritable_path_is_refused_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "file.txt")
    assert os.listdir(tmp_path) == []
    with pytest.raises(AssayError, match=r"is a folder: give the name of a file in it"):
        require_writable(tmp_path)
    with pytest.raises(AssayError, match=r"cannot write file\.txt: the folder .*none does not exist"):
        require_writable(tmp_path / "none" / "file.txt")


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * ((1 << 20) + 1))
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "none", "cannot read .*none: No such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),  # opening it would wait for ever
        (tmp_path / "big", "larger than 1 MB"),
        (Path("a\0b"), "cannot read"),
    ):
        with pytest.raises(AssayError, match=words) as refusal:
            read_whole(path, 1 << 20)
        assert "\n" not in str(refusal.value)


# Reports


@pytest.mark.parametrize(("path", "as_json"), [(None, True), (STDOUT, False), (Path("page.html"), True)])
def test_a_writable_report_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path | None, as_json: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    check_report("--html", path, as_json)
    assert os.listdir(tmp_path) == []


def test_two_results_on_stdout_are_refused() -> None:
    with pytest.raises(AssayError, match=r"^--html - and --json would both write to stdout: give --html a file$"):
        check_report("--html", STDOUT, True)


@pytest.mark.parametrize(
    ("name", "words"), [("none/x.html", "cannot write x.html: the folder .*/none does not exist"), (".", "is a folder")]
)
def test_an_unwritable_report_is_refused_with_its_option(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(AssayError, match=f"^--html .*: .*{words}"):
        check_report("--html", tmp_path / name, False)


def test_a_report_file_leaves_stdout_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not write_report(Path("x.html"), "ρ\n")
    assert ((tmp_path / "x.html").read_text(encoding="utf-8"), os.listdir(tmp_path)) == ("ρ\n", ["x.html"])
    assert not write_report(None, "nowhere")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["<html>", "<html>\n"])
def test_a_report_on_stdout_takes_it_and_ends_with_one_newline(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert write_report(STDOUT, text)
    assert capsys.readouterr().out == "<html>\n"
