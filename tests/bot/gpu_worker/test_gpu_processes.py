"""Faults of real worker processes: killed at any point, suspended and resumed, two at once. The training is faked."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from bot.records import Run
from bot.store.repositories import delete_repository
from bot.store.runs import expired_runs, requeue_run
from tests.bot.gpu_worker.test_attempt import is_there
from tests.builders.app_processes import until
from tests.builders.gpu_bench import OFFICE, SHOP, SHORT_LEASE_S, Bench
from tests.builders.patience import PATIENCE_S

pytestmark = pytest.mark.faults


def reached(gpu: Bench, run: Run, point: str) -> int:
    until(point, lambda: gpu.gates.reached(run.run_id, point))
    return gpu.gates.reached(run.run_id, point)


def ended(gpu: Bench, run: Run) -> Run:
    until("the end", lambda: gpu.run(run.run_id).state == "ended")
    return gpu.run(run.run_id)


def suspend_between_transactions(gpu: Bench, worker: subprocess.Popen[bytes]) -> None:
    """Suspend the worker while we hold the write lock: otherwise it could block SQLite for everyone."""

    async def stop(connection: object) -> None:
        worker.send_signal(signal.SIGSTOP)

    gpu.write(stop)


def sweep(gpu: Bench) -> int:
    """Requeue expired runs like a bot worker; return how many."""

    async def requeue(connection: object) -> int:
        expired = await expired_runs(connection, datetime.now(UTC))  # type: ignore[arg-type]
        return sum([await requeue_run(connection, run, "gone", run.made_at) for run in expired])  # type: ignore[arg-type]

    return gpu.write(requeue)


@pytest.mark.parametrize(("point", "begins_at"), [("begun", 0), ("step-2", 2), ("uploaded", 4)])
def test_another_worker_resumes_after_a_kill(gpu: Bench, point: str, begins_at: int) -> None:
    run = gpu.queue()
    gpu.gates.hold(point)
    first = gpu.worker("first")
    child = reached(gpu, run, point)
    until("its checkpoints are noted", lambda: len(gpu.run(run.run_id).checkpoints) == begins_at)
    first.kill()
    first.wait()
    until("its child is gone", lambda: not is_there(child))
    assert gpu.run(run.run_id).state == "running"
    gpu.end_lease(run)
    assert sweep(gpu) == 1
    gpu.gates.open(point)
    second = gpu.worker("second")
    done = ended(gpu, run)
    assert done.result is not None
    assert (done.ending, done.attempts, done.worker, done.result["begun_at"]) == ("finished", 2, "second", begins_at)
    until("nothing but the winner's files", lambda: set(gpu.files()) == files_of(done))
    assert len(gpu.ready_jobs("result")) == 1
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_S) == 0
    assert list((gpu.folder / "scratch").iterdir()) == []  # including those of the killed worker


def files_of(run: Run) -> set[str]:
    return {f"{run.artifacts}/adapter-seed-1/adapter.safetensors", f"{run.artifacts}/result.json"}


def test_a_worker_resumed_after_its_lease_expired_writes_nothing_and_kills_its_child(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")
    zombie = gpu.worker("zombie", lease_s=SHORT_LEASE_S)
    child = reached(gpu, run, "step-2")
    suspend_between_transactions(gpu, zombie)
    until("its child has ended itself", lambda: not is_there(child))
    gpu.end_lease(run)
    assert sweep(gpu) == 1
    gpu.gates.open("step-2")
    gpu.gates.hold("uploaded")
    gpu.worker("heir")
    until("the heir has it", lambda: gpu.run(run.run_id).worker == "heir")
    zombie.send_signal(signal.SIGCONT)
    until("the heir has uploaded", lambda: gpu.gates.reached(run.run_id, "uploaded") != 0)
    held = gpu.run(run.run_id)
    assert (held.state, held.worker, held.attempts) == ("running", "heir", 2)
    gpu.gates.open("uploaded")
    done = ended(gpu, run)
    assert (done.ending, done.worker, done.attempts) == ("finished", "heir", 2)
    assert len(gpu.ready_jobs("result")) == 1
    assert zombie.poll() is None  # it goes on with other runs


def test_a_stopped_worker_requeues_its_run_and_exits(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")
    worker = gpu.worker()
    child = reached(gpu, run, "step-2")
    worker.send_signal(signal.SIGTERM)
    gpu.gates.open("step-2")
    assert worker.wait(PATIENCE_S) == 0
    assert not is_there(child)
    left = gpu.run(run.run_id)
    assert (left.state, left.attempts, left.lease_token) == ("queued", 0, None)
    assert len(left.checkpoints) >= 2


def test_two_workers_run_two_repositories_concurrently_without_crosstalk(gpu: Bench) -> None:
    runs = [gpu.queue(SHOP), gpu.queue(OFFICE)]
    gpu.gates.hold("step-1")
    gpu.worker("one")
    gpu.worker("two")
    children = {reached(gpu, run, "step-1") for run in runs}
    held = [gpu.run(run.run_id) for run in runs]
    assert len(children) == 2
    assert {run.worker for run in held} == {"one", "two"}
    gpu.gates.open("step-1")
    done = [ended(gpu, run) for run in runs]
    inputs = [run.result["input"] for run in done if run.result is not None]
    assert len(set(inputs)) == 2
    assert [run_folder_of(run.artifacts) for run in done] == [
        f"installations/10/repositories/{run.repository_id}/runs/{run.run_id}" for run in runs
    ]
    until("nothing but their files", lambda: set(gpu.files()) == files_of(done[0]) | files_of(done[1]))


def run_folder_of(artifacts: str | None) -> str:
    return (artifacts or "").partition("/done/")[0]


def test_the_training_process_has_no_secrets_in_environment_or_arguments(gpu: Bench) -> None:
    secrets = {
        "ASSAY_DATABASE_URL": "postgresql://canary",
        "ASSAY_REDIS_URL": "redis://canary",
        "ASSAY_PRIVATE_KEY": "canary",
        "ASSAY_WEBHOOK_SECRET": "canary",
        "ASSAY_ARTIFACTS_URL": "s3://canary",
        "GITHUB_TOKEN": "canary",
        "PGPASSWORD": "canary",
    }
    passed = {"AWS_SECRET_ACCESS_KEY": "of-the-store", "HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": ""}
    run = gpu.queue()
    gpu.gates.hold("step-1")
    gpu.worker(environment=secrets | passed)
    child = psutil.Process(reached(gpu, run, "step-1"))
    seen = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"canary" not in seen
    assert all(f"{name}={value}".encode() in seen for name, value in passed.items())
    assert "canary" not in " ".join(child.cmdline())
    assert [os.fspath(gpu.folder) in part for part in child.cmdline()[:-1]] == [False] * (len(child.cmdline()) - 1)


def test_deleting_a_repository_kills_its_training_process(gpu: Bench) -> None:
    run = gpu.queue()
    gpu.gates.hold("step-2")
    worker = gpu.worker()
    child = reached(gpu, run, "step-2")
    gpu.write(lambda connection: delete_repository(connection, 10, SHOP))
    until("its child is gone", lambda: not is_there(child))
    other = gpu.queue(OFFICE)
    gpu.gates.open("step-2")
    assert ended(gpu, other).ending == "finished"
    assert worker.poll() is None
    assert {job.repository_id for job in gpu.ready_jobs("result")} == {OFFICE}
