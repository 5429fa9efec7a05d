"""`assay screen` as a person runs it, in this process or in one with limits, and what must hold whatever it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import run
from tests.builders.broken import HEALTHY_DENSITY

ROOT = Path(__file__).parents[2]
LIMITED = """
import resource, sys
cpu_s, file_bytes = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
if file_bytes >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
from bot.cli.main import run
sys.exit(run(sys.argv[3:]))
"""
MOST_MB = 300  # of a whole screening; a healthy one takes some 75
MOST_CPU_S = 20


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

    def judges(self, source: object, *options: str, limited: bool = False) -> dict[str, Any]:
        """The JSON of a screening that succeeds."""
        answer = self._answer(source, options, limited)
        assert (answer.code, answer.stderr) == (0, "")
        result: dict[str, Any] = json.loads(answer.stdout)
        assert not limited or result["peak_rss_mb"] < MOST_MB
        self.is_usable()
        return result

    def refuses(self, source: object, *options: str, code: int = 2, limited: bool = False) -> str:
        """The one line of a screening that fails."""
        answer = self._answer(source, options, limited)
        return self.one_line(answer, code)

    def shows(self, source: object, html: Path) -> tuple[str, str]:
        """The text and the page of a screening that succeeds."""
        self.capsys.readouterr()
        code = run(["screen", "--jobs", "1", "--html", str(html), str(source)])
        written = self.capsys.readouterr()
        assert (code, written.err) == (0, "")
        return written.out, html.read_text(encoding="utf-8")

    def tries(self, source: object) -> Answer:
        """Whatever comes of a screening."""
        return self._answer(source, (), limited=False)

    def one_line(self, answer: Answer, code: int) -> str:
        """What an answer that is an error says, after checking how it says it."""
        assert answer.stderr.startswith("assay: ")
        (line,) = answer.stderr.splitlines()
        assert json.loads(answer.stdout) == {"error": line.removeprefix("assay: ")}
        assert answer.code == code, line
        assert line.isprintable()
        self.is_usable()
        return line.removeprefix("assay: ")

    def is_usable(self) -> None:
        """Screen the healthy repository with the same data directory."""
        assert not (self.data_dir / "bugs").exists()
        assert not list(self.data_dir.rglob("*.part*"))
        good = self._here(self.good, ())
        assert (good.code, good.stderr) == (0, "")
        result = json.loads(good.stdout)
        assert (result["density"], result["notes"]) == (HEALTHY_DENSITY, [])

    def _answer(self, source: object, options: tuple[str, ...], limited: bool) -> Answer:
        local = Path(str(source))
        before = _listing(local)
        answer = in_child(self.data_dir, str(source), *options) if limited else self._here(source, options)
        assert _listing(local) == before  # a repository on this machine is only read
        assert "Traceback" not in answer.stderr
        return answer

    def _here(self, source: object, options: tuple[str, ...]) -> Answer:
        self.capsys.readouterr()
        code = run(arguments(str(source), *options))
        return Answer(code, *self.capsys.readouterr())


def arguments(source: str, *options: str) -> list[str]:
    jobs = [] if "--jobs" in options else ["--jobs", "1"]
    return ["screen", *options, *jobs, "--json", *(["--"] if source.startswith("-") else []), source]


def in_child(data_dir: Path, source: str, *options: str, cpu_s: int = MOST_CPU_S, file_bytes: int = -1) -> Answer:
    """Screen in a process that may take so much processor time and write no file larger than so many bytes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(cpu_s), str(file_bytes), *arguments(source, *options)],
        cwd=ROOT, env={**os.environ, "ASSAY_DATA_DIR": str(data_dir)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def _listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of everything in a folder."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return {path: (s.st_size, s.st_mtime_ns) for path in found for s in (path.lstat(),)}
