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
from pipeline.mining.facts.compute import Fact, FactRequest, FunctionsFact, FunctionsRequest
from pipeline.mining.facts.worker_pool import WorkerDied, WorkerPool
from pipeline.mining.miner import is_source
from tests.builders.code import module
from tests.builders.history import History


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[FactRequest]]:
    """Two hundred files of two functions each, enough to start processes."""
    monkeypatch.setattr(worker_pool, "_MIN_PARALLEL_FACTS", 100)
    history = History()
    history.commit("start", {f"m{i}.py": module(str(i), str(i)) for i in range(200)})
    repository = open_repository(history.write(tmp_path / "history.git"))
    with repository.reader() as reader:
        tree = reader.commit(repository.head)[5:45]
        files = TreeReader(reader, is_source).files(bytes.fromhex(tree.decode()))
    return repository.object_dir, [FunctionsRequest(blob, path) for path, blob in files.items()]


def facts(object_dir: Path, requests: list[FactRequest], jobs: int) -> dict[FactRequest, Fact]:
    with WorkerPool(object_dir, MESSAGES, jobs) as workers:
        return {w: f for batch, computed in workers.compute(requests) for w, f in zip(batch, computed, strict=True)}


def test_one_process_and_two_compute_the_same_facts(work: tuple[Path, list[FactRequest]]) -> None:
    alone, together = facts(*work, jobs=1), facts(*work, jobs=2)
    assert alone == together
    assert len(alone) == 200
    assert all(isinstance(f, FunctionsFact) and len(f.functions) == 2 for f in alone.values())


def test_few_facts_start_no_process(work: tuple[Path, list[FactRequest]]) -> None:
    object_dir, requests = work
    with WorkerPool(object_dir, MESSAGES, 2) as workers:
        assert sum(len(batch) for batch, _ in workers.compute(requests[:5])) == 5
        assert active_children() == []


@pytest.mark.faults
def test_a_killed_worker_raises_one_clear_error(
    work: tuple[Path, list[FactRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_BATCH", 1)

    def work_and_kill(workers: WorkerPool, requests: list[FactRequest]) -> None:
        for _ in workers.compute(requests):
            for child in active_children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid or 0, signal.SIGKILL)

    object_dir, requests = work
    with WorkerPool(object_dir, MESSAGES, 2) as workers, pytest.raises(WorkerDied, match="a worker process died"):
        work_and_kill(workers, requests)


def test_no_process_is_left_after_an_interruption(work: tuple[Path, list[FactRequest]]) -> None:
    def break_off(object_dir: Path, requests: list[FactRequest]) -> None:
        with WorkerPool(object_dir, MESSAGES, 2) as workers:
            for _ in workers.compute(requests):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off(*work)
    assert active_children() == []
