"""Ctrl-C at several moments: 130 soon, one line, no process left, and the data directory is as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.builders.broken import HEALTHY_DENSITY, HEALTHY_PAIRS, healthy, write_by_hand
from tests.builders.code import module
from tests.builders.patience import PATIENCE_S
from tests.flows.command import ROOT, Answer, Assay, arguments, line_of
from tests.simulator.git_server import GitServer, stall

pytestmark = pytest.mark.faults

# Says when the moment has come and stays in it.
INTERRUPTED = """
import sys, time
from contextlib import contextmanager
from bot.cli.local import screen
from bot.cli.main import run
from pipeline.mining.facts import worker_pool

moment, really_wait = sys.argv[1], worker_pool.wait

def come(now):
    if now == moment:
        print("now", flush=True)

def wait(connections):
    come("waiting for workers")
    return really_wait(connections)

@contextmanager
def told():
    def tell(stage, done, total):
        come(stage)
        if stage == moment:
            time.sleep(60)
    yield tell

worker_pool.wait, screen.progress_display = wait, told
sys.exit(run(sys.argv[2:]))
"""
FILES, FUNCTIONS = 300, 40
WIDE_DENSITY = HEALTHY_DENSITY * HEALTHY_PAIRS / (HEALTHY_PAIRS + FILES * FUNCTIONS)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the healthy code so much that two processes are busy with it for a while."""
    guests = [(f"g{n}.py", module(*[str(n)] * FUNCTIONS), None, "100644") for n in range(FILES)]
    return write_by_hand(healthy(*guests), tmp_path_factory.mktemp("wide") / "wide.git")


def started(assay: Assay, moment: str, source: object, jobs: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, moment, *arguments(source, "--jobs", jobs)],
        cwd=ROOT, env={**os.environ, "ASSAY_DATA_DIR": str(assay.data_dir)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def alive(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (OSError, psutil.Error):
            continue
    return found


def wait_for_the_moment(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"


def assert_interrupted(child: subprocess.Popen[str]) -> None:
    out, err = child.communicate(timeout=PATIENCE_S)
    assert line_of(Answer(child.returncode, out, err), 130) == "interrupted"
    patience = time.monotonic() + 10
    while alive(child.pid) and time.monotonic() < patience:
        time.sleep(0.02)
    assert alive(child.pid) == []


@pytest.mark.parametrize(
    ("moment", "send"),
    [
        ("waiting for workers", os.killpg),  # a terminal sends it to the whole group
        ("parsing files", os.killpg),
        ("parsing changes", os.kill),
    ],
)
def test_a_screening_that_is_interrupted_leaves_no_process_and_no_trace(
    assay: Assay, wide: Path, moment: str, send: Callable[[int, int], None]
) -> None:
    child = started(assay, moment, wide, "2")
    wait_for_the_moment(child)
    send(child.pid, signal.SIGINT)
    assert_interrupted(child)
    result = assay.judges(wide)
    assert (result["density"], result["notes"]) == (pytest.approx(WIDE_DENSITY, abs=1e-12), [])


def test_workers_that_are_still_starting_have_nothing_to_say_to_ctrl_c(assay: Assay, wide: Path) -> None:
    child = started(assay, "reading commits", wide, "2")
    wait_for_the_moment(child)
    for _ in range(25):  # all the while that they import what they need
        for worker in psutil.Process(child.pid).children():
            worker.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert len(alive(child.pid)) >= 3
    os.killpg(child.pid, signal.SIGINT)
    assert_interrupted(child)


def test_a_clone_that_is_interrupted_leaves_nothing_half_made(assay: Assay, forge: GitServer) -> None:
    forge.fault = stall(forge)
    child = started(assay, "never", f"{forge}/ada/code.git", "1")
    while not forge.requests:
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    assert_interrupted(child)
    assert [path.suffix for path in (assay.data_dir / "clones").iterdir()] == [".lock"]
    forge.fault = None
    assert assay.judges(f"{forge}/ada/code.git")["density"] == HEALTHY_DENSITY
