"""`assay up` and `assay gpu-worker` as an operator runs them, killed at the worst moments; a tiny model trains."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.disk.artifacts import Artifacts
from bot.gpu_worker.training_child import CREDENTIALS
from bot.records import Run
from bot.store.database import Database
from bot.store.runs import all_runs
from pipeline.finetuning.pair_file import decode_pairs
from tests.builders.app_processes import ASSAY, AppProcess, Deployment, deployment, settings_for, until
from tests.builders.fast_assay import IMPATIENT
from tests.builders.finetune_app import checks, make_repository, our_comments, words
from tests.builders.finetune_settled import Places, left_over
from tests.builders.gpu_bench import end_lease
from tests.builders.patience import PATIENCE_S
from tests.builders.tiny_model import tiny_encoder
from tests.simulator import faults
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository

pytestmark = pytest.mark.finetune

RECIPE = {"epochs": 3, "max_tokens": 96, "seeds": [1], "batch_size": 8, "validations": 6}


@dataclass
class Server:
    """What an operator has started, and what is in its database."""

    github: GitHub
    assay: Deployment

    @property
    def data(self) -> Path:
        return Path(self.assay.environment["ASSAY_DATA_DIR"])

    def ask(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            database = await Database.open(f"sqlite:///{self.data / 'assay.sqlite'}")
            try:
                async with database.read() as connection:
                    return await question(connection)
            finally:
                await database.close()

        return asyncio.run(asked())

    def write(self, effect: Callable[[Any], Awaitable[Any]]) -> None:
        async def written() -> None:
            database = await Database.open(f"sqlite:///{self.data / 'assay.sqlite'}")
            try:
                async with database.write() as connection:
                    await effect(connection)
            finally:
                await database.close()

        asyncio.run(written())

    def up(self) -> AppProcess:
        process = self.assay.start("up")
        self.assay.ready()
        return process

    def gpu_worker(self, name: str) -> AppProcess:
        """Without anything of the App on GitHub, and with one thread: as fast for so small a model."""
        environment = {name: value for name, value in self.assay.environment.items() if name not in CREDENTIALS}
        environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        log = self.assay.folder / f"gpu-{name}.log"
        worker = AppProcess(("gpu-worker", "--name", name, "--device", "cpu"), environment, log)
        worker.start()
        self.assay.processes.append(worker)
        return worker

    def runs(self) -> list[Run]:
        return list(self.ask(all_runs))

    def checkpoints(self) -> dict[int, tuple[str, int]]:
        """By run: the worker that has it, and how many checkpoints are known."""
        with closing(sqlite3.connect(f"file:{self.data / 'assay.sqlite'}?mode=ro", uri=True, timeout=30)) as database:
            rows = database.execute("SELECT run_id, worker, checkpoints FROM runs WHERE state = 'running'").fetchall()
        return {run_id: (worker, len(json.loads(known))) for run_id, worker, known in rows}

    def at_rest(self) -> None:
        for process in self.assay.processes:
            if "gpu-worker" in process.command and process.running:
                assert process.stop() == 0
        places = Places(self.data / "artifacts", self.data / "gpu", self.data / "gates")
        found: list[str] = []

        def is_at_rest() -> bool:
            found[:] = self.ask(lambda c: left_over(c, self.github, places, datetime.now(UTC)))
            return not found

        try:
            until("rest", is_at_rest)
        except AssertionError:
            raise AssertionError(f"{found}; it said:\n{self.assay.said()[-4_000:]}") from None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    model = tiny_encoder(tmp_path / "model")
    with serve_github(tmp_path / "github") as github:
        app = github.register_app()
        environment = settings_for(app.credentials, tmp_path / "assay", github.url, github.api_url) | IMPATIENT
        environment |= {
            "ASSAY_BASE_MODELS": f"tiny={model}",
            "ASSAY_FINETUNE": json.dumps(RECIPE),
            "ASSAY_FINETUNE_MINUTES": "10",
            "ASSAY_GPU_LEASE_S": "60",
        }
        with deployment(tmp_path / "assay", environment) as assay:
            server = Server(github, assay)
            server.up()
            app.webhook_url = assay.webhook_url
            yield server


def ask_on(server: Server, *repositories: Repository) -> None:
    """The App is installed, there is a budget, and a maintainer of each asks."""
    app = next(iter(server.github.apps.values()))
    app.install(repositories[0].owner, repositories)
    until("the verdicts", lambda: all(each.check_runs for each in repositories))
    command = [str(ASSAY), "budget", "set", "acme", "--minutes", "500", "--concurrency", "2"]
    subprocess.run(command, env=server.assay.environment, check=True, capture_output=True)
    for repository in repositories:
        repository.comment("ann", "/finetune")
    until("queued runs", lambda: [run.state for run in server.runs()] == ["queued"] * len(repositories))


def test_two_workers_train_two_repositories_and_one_of_them_is_killed(server: Server, tmp_path: Path) -> None:
    shop, office = (make_repository(server.github, tmp_path, name) for name in ("shop", "office"))
    ask_on(server, shop, office)
    workers = {name: server.gpu_worker(name) for name in ("one", "two")}
    until(
        "a checkpoint of each", lambda: len([n for _, n in server.checkpoints().values() if n]) == 2, PATIENCE_S, 0.02
    )
    (first, (killed, _)), (_, (other, _)) = sorted(server.checkpoints().items())
    assert {killed, other} == {"one", "two"}
    workers[killed].kill()
    server.write(lambda c: end_lease(c, first))
    until("two check runs", lambda: checks(shop) and checks(office))
    again = server.gpu_worker("again")  # whoever starts on a machine removes what was left there
    until("a worker", lambda: "gpu_worker_started" in again.said())
    server.at_rest()
    runs = {run.run_id: run for run in server.runs() if run.purpose == "judge"}
    assert [run.ending for run in runs.values()] == ["finished", "finished"]
    assert (runs[first].attempts, runs[first].worker) == (2, other)
    for run in runs.values():
        repository = shop if run.repository_id == shop.repository_id else office
        pairs = decode_pairs(Artifacts(server.data / "artifacts").read_pairs(run), "pairs")
        assert {function.qualified_name.split("_")[0] for function in pairs.holdout} == {repository.name}
        result = dict(run.result or {})
        assert (result["pair_set_id"], result["head_sha"], result["n"]) == (
            pairs.id,
            repository.head(),
            len(pairs.holdout),
        )
        assert f"{result['n']:,} held-out" in words(checks(repository)[0])
        assert str(result["outcome"]) in our_comments(repository)[0].body


def test_the_bot_is_killed_between_writing_the_check_run_and_noting_it(server: Server, tmp_path: Path) -> None:
    shop = make_repository(server.github, tmp_path, "shop")
    ask_on(server, shop)
    up = next(process for process in server.assay.processes if "up" in process.command)
    rule = server.github.fault(f"POST /repos/{shop.full_name}/check-runs", faults.before(up.kill))
    worker = server.gpu_worker("one")
    until("the end of the bot", lambda: rule.met and not up.running)
    until("the check run that nobody noted", lambda: checks(shop))
    assert worker.running
    server.up()
    server.at_rest()
    assert len(checks(shop)) == len(our_comments(shop)) == 1
