"""`assay screen` as a person runs it, here or in a process with limits, and what must hold whatever it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import run
from tests.builders.broken import HEALTHY_DENSITY

ROOT = Path(__file__).parents[2]
ONE_AFTER_THE_OTHER = """
import contextlib, io, json, resource, sys
from bot.cli.main import run
cpu_s, file_bytes, commands = json.loads(sys.argv[1])
if file_bytes is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
answers = []
for arguments in commands:
    used = resource.getrusage(resource.RUSAGE_SELF)
    most_s = int(used.ru_utime + used.ru_stime) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, resource.RLIM_INFINITY))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""
MOST_MB = 300  # of a whole screening; a healthy one takes some 75
MOST_CPU_S = 20  # a healthy one takes less than one


@dataclass(frozen=True)
class Answer:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Assay:
    """Runs `assay screen` with one data directory, and checks after each time that the next screening is as usual."""

    data_dir: Path
    good: Path  # a healthy repository
    capsys: pytest.CaptureFixture[str]

    def judges(self, source: object, *options: str) -> dict[str, Any]:
        """The JSON of a screening that succeeds."""
        result = json_of(self.tries(source, *options))
        self.is_usable()
        return result

    def refuses(self, source: object, *options: str, code: int = 2) -> str:
        """The one line of a screening that fails."""
        line = line_of(self.tries(source, *options), code)
        self.is_usable()
        return line

    def shows(self, source: object, html: Path) -> tuple[str, str]:
        """The text and the page of a screening that succeeds."""
        self.capsys.readouterr()
        code = run(["screen", "--jobs", "1", "--html", str(html), str(source)])
        written = self.capsys.readouterr()
        assert (code, written.err) == (0, "")
        return written.out, html.read_text(encoding="utf-8")

    def tries(self, source: object, *options: str) -> Answer:
        """Whatever comes of a screening."""
        before = _listing(Path(str(source)))
        answer = self.runs(*arguments(source, *options))
        assert _listing(Path(str(source))) == before  # a repository on this machine is only read
        return answer

    def runs(self, *arguments: str) -> Answer:
        """What comes of a command line."""
        self.capsys.readouterr()
        code = run(list(arguments))
        return Answer(code, *self.capsys.readouterr())

    def is_usable(self) -> None:
        """Screen the healthy repository with the same data directory."""
        assert_usable(self.data_dir, self.tries(self.good))


def assert_usable(data_dir: Path, good: Answer) -> None:
    """Nothing in a data directory is half made, and a healthy repository screened there came out as it always does."""
    assert not (data_dir / "bugs").exists()
    assert not list(data_dir.rglob("*.part*"))
    result = json_of(good)
    assert (result["density"], result["notes"]) == (HEALTHY_DENSITY, [])


def json_of(answer: Answer) -> dict[str, Any]:
    """The JSON of a screening that succeeded, and said nothing else."""
    assert (answer.code, answer.stderr) == (0, "")
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def warning_of(answer: Answer) -> str:
    """The one line that a screening that succeeded said beside its JSON, which is right all the same."""
    assert answer.code == 0
    assert json.loads(answer.stdout)["density"] == HEALTHY_DENSITY
    (line,) = answer.stderr.splitlines()
    assert line.startswith("warning: the prediction could not be recorded: ")
    return line


def line_of(answer: Answer, code: int = 2) -> str:
    """The one line that a screening that failed said, in both places."""
    (line,) = answer.stderr.splitlines()
    assert line.startswith("assay: ")
    assert line.isprintable()
    assert answer.code == code, line
    assert json.loads(answer.stdout) == {"error": line.removeprefix("assay: ")}
    return line.removeprefix("assay: ")


def arguments(source: object, *options: str) -> list[str]:
    return ["screen", "--json", *(options or ("--jobs", "1")), *(["--"] if str(source)[:1] == "-" else []), str(source)]


def in_child(
    data_dir: Path, sources: Sequence[Path | str], *, cpu_s: int = MOST_CPU_S, file_bytes: int | None = None
) -> list[Answer]:
    """Screen one after the other in a process of its own.

    Each may take so many seconds of processor time; no file may grow larger than so many bytes.
    """
    commands = [arguments(source) for source in sources]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps([cpu_s, file_bytes, commands])],
        cwd=ROOT, env={**os.environ, "ASSAY_DATA_DIR": str(data_dir)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [Answer(*answer) for answer in json.loads(done.stdout)]


def _listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of everything in a folder."""
    found = folder.rglob("*") if os.path.isdir(folder) else ()
    return {path: (s.st_size, s.st_mtime_ns) for path in found for s in (path.lstat(),)}
