import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.exceptions import TyperException

from bot.cli.errors import handled, redacted
from pipeline.records import AssayError


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(error: BaseException | None, *args: str) -> int:
    def command() -> None:
        if error is not None:
            raise error

    return handled(command, list(args))


def test_each_kind_of_exit_has_its_code_and_line(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    cases: list[tuple[BaseException | None, int, str]] = [
        (None, 0, ""),
        (typer.Exit(), 0, ""),
        (typer.Exit(1), 1, ""),
        (AssayError("x is no repository: name a clone"), 2, "assay: x is no repository: name a clone\n"),
        (TyperException("Got unexpected\nargument"), 2, "assay: Got unexpected\nargument\n"),
        (typer.BadParameter("no date"), 2, "assay: Invalid value: no date\n"),
        (KeyboardInterrupt(), 130, "assay: interrupted\n"),
        (typer.Abort(), 130, "assay: interrupted\n"),
        (MemoryError(), 1, "assay: out of memory: try fewer processes (--jobs 1) or a machine with more memory\n"),
    ]
    for error, code, line in cases:
        with subtests.test(error=error, code=code, line=line):
            assert run(error) == code
            assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full (/data/x): free some space, or set ASSAY_DATA_DIR"),
        (errno.EDQUOT, "the disk is full (/data/x)"),
        (errno.EACCES, "no permission (/data/x)"),
        (errno.EROFS, "no permission (/data/x)"),
        (errno.EMFILE, "too many open files"),
    ],
)
def test_a_system_failure_says_what_to_do_and_writes_no_report(
    capsys: pytest.CaptureFixture[str], data_dir: Path, number: int, words: str
) -> None:
    assert run(OSError(number, "?", "/data/x")) == 1
    assert words in capsys.readouterr().err
    assert not data_dir.exists()


def test_with_json_the_error_is_one_object_on_stdout_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(AssayError("no such path"), "screen", "x", "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "no such path"}
    assert err == "assay: no such path\n"


def test_a_bug_is_one_line_and_a_file_with_the_traceback(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    assert run(ZeroDivisionError("division\nby zero"), "screen", "https://ada:secret@git.example/r", "--top") == 1
    (report,) = (data_dir / "bugs").iterdir()
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "this is a bug in Assay, please report it (ZeroDivisionError: division)" in err
    assert str(report) in err
    text = report.read_text()
    assert "Traceback (most recent call last)" in text
    assert "assay screen https://***@git.example/r --top" in text
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_bug_with_an_unusable_data_folder_is_still_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    (tmp_path / "spare").mkdir()
    monkeypatch.setenv("ASSAY_DATA_DIR", str(in_the_way))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "spare"))
    assert run(KeyError("k")) == 1
    (report,) = (tmp_path / "spare").iterdir()
    assert str(report) in capsys.readouterr().err


def test_a_bug_whose_report_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    assert run(KeyError("k")) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "could not be written" in err


def test_a_broken_connection_is_not_a_closed_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 1
    assert "BrokenPipeError" in capsys.readouterr().err


def test_credentials_in_urls_are_redacted() -> None:
    cases: list[tuple[str, str]] = [
        ("https://ada:secret@git.example/r", "https://***@git.example/r"),
        ("see https://token@h/x and ssh://git@h/y.", "see https://***@h/x and ssh://***@h/y."),
        ("https://git.example/@scope/r", "https://git.example/@scope/r"),
        ("ada@example.org", "ada@example.org"),
        ("", ""),
    ]
    wrong = [(text, got, expected) for text, expected in cases if (got := redacted(text)) != expected]
    assert wrong == []


def test_credentials_are_redacted_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    run(AssayError("no answer from https://x:secret@git.example/r"), "--json")
    assert not re.search("secret", "".join(capsys.readouterr()))


PRINTS_MUCH = """
import sys
from bot.cli.errors import handled

def command():
    for _ in range(100_000):
        print("a line")

sys.exit(handled(command, []))
"""


def test_a_reader_that_closes_early_gets_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS_MUCH], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "a line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_character_outside_the_locale_is_escaped() -> None:
    script = "import sys; from bot.cli.errors import handled; sys.exit(handled(lambda: print('\\u03c1 = 1'), []))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONIOENCODING": "ascii"}
    )
    assert done.stdout == "\\u03c1 = 1\n"
