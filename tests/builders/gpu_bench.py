"""Test bench for GPU workers: a database, an artifact store, queued runs, and workers in real processes.

python -m tests.builders.gpu_bench DATABASE ARTIFACTS SCRATCH GATES NAME LEASE_S     run a worker until it is stopped
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import update

from bot.clock import SystemClock
from bot.disk.artifacts import Artifacts
from bot.gpu_worker.attempt import GpuParts
from bot.gpu_worker.scratch import scratch_folder
from bot.gpu_worker.training_child import child_environment
from bot.gpu_worker.worker import GpuWorker
from bot.records import Installation, Job, Repository, Run
from bot.store.budgets import month_of, set_budget
from bot.store.database import Database
from bot.store.installations import save_installation
from bot.store.jobs import load_job
from bot.store.jobs import ready_jobs as ready_job_ids
from bot.store.repositories import save_repository
from bot.store.runs import RunRequest, load_run, open_run, queue_run
from bot.store.tables import runs
from pipeline.finetuning.pair_file import encode_pairs
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import BaseModel
from tests.builders.databases import create_database
from tests.builders.gpu_child import Gates
from tests.builders.pair_sets import planted
from tests.builders.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
MODELS = {"acme/coder": BaseModel("acme/coder", "a" * 40)}
LEASE_S = 30.0  # never too short on a busy machine; a test that needs a lease to be over ends it
SHORT_LEASE_S = 4.0  # in which a training process ends itself if its worker stops
RENEW_EVERY_S = 0.2
SHOP, OFFICE = 100, 200  # repositories of installation 10
T = TypeVar("T")


@dataclass
class Bench:
    folder: Path
    database_url: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.folder / "artifacts")

    @property
    def gates(self) -> Gates:
        return Gates(self.folder / "gates")

    def write(self, change: Callable[[Any], Awaitable[T]]) -> T:
        """Run `change` in a transaction and commit it."""

        async def in_transaction() -> T:
            database = await Database.open(self.database_url)
            try:
                async with database.write() as connection:
                    return await change(connection)
            finally:
                await database.close()

        return asyncio.run(in_transaction())

    def queue(self, repository_id: int = SHOP, pairs: PairSet | None = None, **changes: Any) -> Run:
        """Queue a prepared run."""
        pairs = pairs or planted(seed=repository_id)
        request = RunRequest(
            **{"purpose": "judge", "head_sha": "a" * 40, "base_model": "acme/coder", "recipe": {}}
            | {"label_recipe_id": "0123456789ab"}
            | changes
        )
        self.artifacts.put_pairs(10, repository_id, encode_pairs(pairs), pairs.id)

        async def put(connection: Any) -> Run:
            now = datetime.now(UTC)
            run, _ = await open_run(connection, 10, repository_id, request, now)
            await queue_run(connection, run, pair_set_id=pairs.id, minutes=10.0, month=month_of(now), now=now)
            return run

        return self.run(self.write(put).run_id)

    def run(self, run_id: int) -> Run:
        run = self.write(lambda connection: load_run(connection, 10, run_id))
        assert run is not None
        return run

    def end_lease(self, run: Run) -> None:
        """Let the lease of a run be over, as if its worker had been silent for that long."""
        self.write(lambda connection: end_lease(connection, run.run_id))

    def ready_jobs(self, kind: Any) -> list[Job]:
        async def jobs(connection: Any) -> list[Job]:
            found = [
                await load_job(connection, i) for i in await ready_job_ids(connection, datetime.now(UTC), [kind], 99)
            ]
            return [job for job in found if job is not None]

        return self.write(jobs)

    def files(self) -> list[str]:
        """Every file in the store except the pairs."""
        root = self.folder / "artifacts"
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return sorted(name for name in found if "/pairs/" not in name)

    def worker(
        self, name: str = "one", environment: Mapping[str, str] | None = None, lease_s: float = LEASE_S
    ) -> subprocess.Popen[bytes]:
        places = [self.database_url, self.folder / "artifacts", self.folder / "scratch", self.gates.folder]
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, places), name, str(lease_s)],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def parts(self, database: Database, **changes: Any) -> GpuParts:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        known: dict[str, Any] = {
            "database": database,
            "artifacts": self.artifacts,
            "clock": SystemClock(),
            "base_models": MODELS,
            "minutes": 60.0,
            "scratch": scratch,
            "name": "one",
            **lease_fields(LEASE_S),
            "poll_every_s": 0.05,
            "environment": child_environment(os.environ),
            "command": child_command(self.gates.folder),
        }
        return GpuParts(**known | changes)

    def with_worker(self, scenario: Callable[[GpuWorker, Database], Awaitable[T]], **changes: Any) -> T:
        """Run `scenario` with a worker in this process."""

        async def run() -> T:
            database = await Database.open(self.database_url)
            try:
                return await scenario(GpuWorker(self.parts(database, **changes), "pretended"), database)
            finally:
                await database.close()

        return asyncio.run(asyncio.wait_for(run(), PATIENCE_S))

    def once(self, **changes: Any) -> Run | None:
        return self.with_worker(lambda worker, _: worker.once(), **changes)


def lease_fields(lease_s: float) -> dict[str, Any]:
    """Fields of `GpuParts`: a long lease, and a worker that notices soon that it lost its run or has to stop."""
    return {"lease_s": lease_s, "renewals_per_lease": round(lease_s / RENEW_EVERY_S)}


async def end_lease(connection: Any, run_id: int) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await connection.execute(update(runs).where(runs.c.run_id == run_id).values(lease_until=past))


def child_command(gates: Path) -> tuple[str, ...]:
    return sys.executable, "-X", "utf8", "-m", "tests.builders.gpu_child", str(gates)


@contextlib.contextmanager
def bench(folder: Path, database_url: str = "") -> Iterator[Bench]:
    """One installation with two repositories and a budget. Kills every process at the end."""
    url = database_url or f"sqlite:///{folder / 'assay.sqlite'}"
    create_database(url)
    one = Bench(folder, url)
    one.gates.folder.mkdir()

    async def fill(connection: Any) -> None:
        now = datetime.now(UTC)
        await save_installation(connection, Installation(10, 1, "acme", "Organization", "active", {}), now)
        for repository_id, name in ((SHOP, "shop"), (OFFICE, "office")):
            described = Repository(10, repository_id, f"acme/{name}", "main", private=True, archived=False)
            await save_repository(connection, described)
        await set_budget(connection, 10, 600.0, 2, now)

    one.write(fill)
    try:
        yield one
    finally:
        for process in one.processes:
            process.kill()
            process.communicate()


async def work(database_url: str, artifacts: str, scratch: str, gates: str, name: str, lease_s: str) -> None:
    from bot.cli.server.gpu_worker import stopped_by_signals

    database = await Database.open(database_url)
    with scratch_folder(Path(scratch)) as own:
        parts = GpuParts(
            database=database,
            artifacts=Artifacts(artifacts),
            clock=SystemClock(),
            base_models=MODELS,
            minutes=60.0,
            scratch=own,
            name=name,
            **lease_fields(float(lease_s)),
            poll_every_s=0.05,
            environment=child_environment(os.environ),
            command=child_command(Path(gates)),
        )
        worker = GpuWorker(parts, "pretended")
        with stopped_by_signals(worker):
            await worker.run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
