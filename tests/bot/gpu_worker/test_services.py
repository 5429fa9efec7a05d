"""A GPU worker whose PostgreSQL becomes unavailable. `make test-services`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.store.budgets import set_budget
from tests.bot.gpu_worker.test_gpu_processes import ended, files_of, reached
from tests.builders.app_processes import until
from tests.builders.gpu_bench import OFFICE, SHOP, SHORT_LEASE_S, Bench, bench
from tests.builders.servers import Server, postgres_server

pytestmark = pytest.mark.services


@pytest.fixture
def server() -> Iterator[Server]:
    with postgres_server() as one:
        yield one


@pytest.fixture
def gpu(tmp_path: Path, server: Server) -> Iterator[Bench]:
    with bench(tmp_path, server.url) as one:
        yield one


def test_training_survives_a_database_outage_longer_than_the_lease(gpu: Bench, server: Server) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")
    worker = gpu.worker(lease_s=SHORT_LEASE_S)
    child = reached(gpu, run, "step-2")
    server.kill()
    down_since_s = time.monotonic()
    gpu.gates.open("step-2")
    until("it is trained and uploaded", lambda: gpu.gates.reached(run.run_id, "uploaded"))
    until("the lease has run out", lambda: time.monotonic() - down_since_s > 2 * SHORT_LEASE_S)
    assert worker.poll() is None
    server.start()
    done = ended(gpu, run)
    assert (done.ending, done.attempts, len(done.checkpoints)) == ("finished", 1, 4)
    assert gpu.gates.reached(run.run_id, "uploaded") == child
    until("nothing but its files", lambda: set(gpu.files()) == files_of(done))
    assert len(gpu.ready_jobs("result")) == 1


def test_two_workers_respect_the_concurrency_of_an_installation(gpu: Bench) -> None:
    gpu.write(lambda connection: set_budget(connection, 10, 600.0, 1, datetime.now(UTC)))
    runs = [gpu.queue(SHOP), gpu.queue(OFFICE)]
    gpu.gates.hold("step-2")
    gpu.worker("one")
    gpu.worker("two")
    reached(gpu, runs[0], "step-2")
    assert gpu.run(runs[1].run_id).state == "queued"
    gpu.gates.open("step-2")
    spans = [(run.started_at, run.ended_at) for run in (ended(gpu, run) for run in runs)]
    assert spans[0][1] is not None
    assert spans[1][0] is not None
    assert spans[0][1] <= spans[1][0]
