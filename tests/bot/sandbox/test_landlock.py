"""A process that confined itself, as a repository would find it that took it over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFINED = """
import json, os, socket, sys
from pathlib import Path
from bot.sandbox.landlock import confine
from bot.sandbox.limits import protect_this_process

def outcome(act):
    try:
        return str(act())
    except OSError as error:
        return type(error).__name__

root = Path(sys.argv[1])
protect_this_process()
confined = confine(root / "7" / "21", [root / "ca.pem"])
own = root / "7" / "21"
print(json.dumps({
    "confined": confined,
    "credentials": outcome((root / "credentials.json").read_text),
    "neighbour": outcome(lambda: list((root / "7" / "22").iterdir())),
    "outside": outcome(lambda: (root / "new").write_text("x")),
    "truncated": outcome(lambda: os.truncate(root / "credentials.json", 0)),
    "linked": outcome(lambda: os.link(root / "credentials.json", own / "mine")),
    "environment": outcome(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes() and "read"),
    "certificates": outcome((root / "ca.pem").read_text),
    "own": outcome(lambda: (own / "a").write_text("xyz") and (own / "a").rename(own / "b").read_text()),
    "localhost": outcome(lambda: socket.getaddrinfo("localhost", 80)[0][4][1]),
    "devnull": outcome(lambda: Path("/dev/null").write_text("x")),
    "status": outcome(lambda: Path("/proc/self/status").read_text()[:5]),
}))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("data")
    (root / "credentials.json").write_text("canary")
    (root / "ca.pem").write_text("certificate")
    (root / "7" / "22").mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", CONFINED, str(root)], capture_output=True, text=True, check=True)
    outcomes: dict[str, Any] = json.loads(done.stdout)
    if not outcomes["confined"]:
        pytest.skip("this system has no Landlock")
    assert (root / "credentials.json").read_text() == "canary"
    assert not (root / "new").exists()
    return outcomes


@pytest.mark.parametrize("act", ["credentials", "neighbour", "outside", "truncated", "linked", "environment"])
def test_other_files_and_processes_are_out_of_reach(outcomes: dict[str, Any], act: str) -> None:
    assert outcomes[act] in ("PermissionError", "OSError")  # a link to another file system's is an OSError


@pytest.mark.parametrize(
    ("act", "outcome"),
    [("certificates", "certificate"), ("own", "xyz"), ("localhost", "80"), ("devnull", "1"), ("status", "Name:")],
)
def test_what_a_screening_needs_is_allowed(outcomes: dict[str, Any], act: str, outcome: str) -> None:
    assert outcomes[act] == outcome


def test_without_landlock_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bot.sandbox import landlock

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not landlock.confine(tmp_path)
    assert list(tmp_path.iterdir()) == []
