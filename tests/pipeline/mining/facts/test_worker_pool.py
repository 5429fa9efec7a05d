from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing import active_children
from pathlib import Path

import pytest

from pipeline.git.repository import open_repository
from pipeline.git.trees import TreeReader
from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts import worker_pool
from pipeline.mining.facts.compute import Fact, FunctionsFact, FunctionsWant, Want
from pipeline.mining.facts.worker_pool import WorkerDied, WorkerPool
from pipeline.mining.miner import is_source
from tests.builders.code import module
from tests.builders.history import History


@pytest.fixture
def wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Want]]:
    """Two hundred files of two functions each, made worth a process."""
    monkeypatch.setattr(worker_pool, "_WORTH_A_PROCESS", 100)
    history = History()
    history.commit("start", {f"m{i}.py": module(str(i), str(i)) for i in range(200)})
    repository = open_repository(history.write(tmp_path / "history.git"))
    with repository.reader() as reader:
        tree = reader.commit(repository.head)[5:45]
        files = TreeReader(reader, is_source).files(bytes.fromhex(tree.decode()))
    return repository.object_dir, [FunctionsWant(blob, path) for path, blob in files.items()]


def facts(object_dir: Path, wanted: list[Want], jobs: int) -> dict[Want, Fact]:
    with WorkerPool(object_dir, MESSAGES, jobs) as workers:
        return {w: f for batch, found in workers.compute(wanted) for w, f in zip(batch, found, strict=True)}


def test_every_want_is_answered_the_same_by_one_process_and_by_two(wants: tuple[Path, list[Want]]) -> None:
    alone, together = facts(*wants, jobs=1), facts(*wants, jobs=2)
    assert alone == together
    assert len(alone) == 200
    assert all(isinstance(f, FunctionsFact) and len(f.functions) == 2 for f in alone.values())


def test_little_work_starts_no_process(wants: tuple[Path, list[Want]]) -> None:
    object_dir, wanted = wants
    with WorkerPool(object_dir, MESSAGES, 2) as workers:
        assert sum(len(batch) for batch, _ in workers.compute(wanted[:5])) == 5
        assert active_children() == []


@pytest.mark.faults
def test_a_killed_worker_is_one_clear_error(wants: tuple[Path, list[Want]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_BATCH", 1)

    def work_and_kill(workers: WorkerPool, wanted: list[Want]) -> None:
        for _ in workers.compute(wanted):
            for child in active_children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid or 0, signal.SIGKILL)

    object_dir, wanted = wants
    with WorkerPool(object_dir, MESSAGES, 2) as workers, pytest.raises(WorkerDied, match="a worker process died"):
        work_and_kill(workers, wanted)


def test_no_process_is_left_when_the_work_is_broken_off(wants: tuple[Path, list[Want]]) -> None:
    def break_off(object_dir: Path, wanted: list[Want]) -> None:
        with WorkerPool(object_dir, MESSAGES, 2) as workers:
            for _ in workers.compute(wanted):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off(*wants)
    assert active_children() == []
