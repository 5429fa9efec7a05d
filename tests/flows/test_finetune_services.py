"""PostgreSQL and Redis go away while a run is trained, and come back: the run ends once, and nothing is left over.

`make test-services`. The servers are the test's own, for they are killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.records import Run
from bot.store.budgets import set_budget
from bot.store.database import Database, StoreUnavailable
from bot.store.runs import all_runs
from tests.builders.app_processes import AppProcess, until
from tests.builders.finetune_app import checks, make_repository, our_comments
from tests.builders.finetune_gpu import MODEL, REVISION, RunGates
from tests.builders.finetune_settled import Places, left_over
from tests.builders.gpu_bench import end_lease
from tests.builders.servers import Server, postgres_server, redis_server
from tests.flows.faults.stage import Stage, set_stage

pytestmark = pytest.mark.services

AWAY_S = 3.0


@pytest.fixture
def postgres() -> Iterator[Server]:
    with postgres_server() as one:
        yield one


@pytest.fixture
def redis() -> Iterator[Server]:
    with redis_server() as one:
        yield one


@pytest.fixture
def stage(tmp_path: Path, postgres: Server, redis: Server) -> Iterator[Stage]:
    """`assay web` and `assay worker` on these servers, with a base model that nobody loads."""
    with set_stage(tmp_path, redis=redis, database_url=postgres.url) as stage:
        stage.assay.environment |= {"ASSAY_BASE_MODELS": f"{MODEL}@{REVISION}", "ASSAY_FINETUNE_MINUTES": "60"}
        (tmp_path / "gates").mkdir()
        stage.web()
        stage.worker()
        yield stage


def gpu_worker(stage: Stage) -> AppProcess:
    """A process that pretends to train, on the same servers."""
    assert stage.redis is not None
    places = (stage.data_dir / "artifacts", stage.folder / "scratch", stage.folder / "gates")
    command = ("worker", stage.database_url, *map(str, places), "", "one", stage.redis.url)
    program = (sys.executable, "-m", "tests.builders.finetune_gpu")
    worker = AppProcess(command, os.environ, stage.assay.folder / "gpu.log", program)
    worker.start()
    stage.assay.processes.append(worker)
    return worker


def write(stage: Stage, effect: Callable[[Any], Awaitable[Any]]) -> None:
    async def written() -> None:
        database = await Database.open(stage.database_url)
        try:
            async with database.write() as connection:
                await effect(connection)
        finally:
            await database.close()

    asyncio.run(written())


def the_run(stage: Stage) -> Run:
    (run,) = stage.ask(all_runs)
    return run


def has_ended(stage: Stage) -> bool:
    try:
        return the_run(stage).state == "ended"
    except StoreUnavailable:
        return False


def test_postgresql_and_then_redis_are_away_while_a_run_is_trained(
    stage: Stage, postgres: Server, redis: Server
) -> None:
    gates = RunGates(stage.folder / "gates")
    shop = make_repository(stage.github, stage.folder, "shop")
    installation = stage.app.install(shop.owner, [shop])
    until("the verdict", lambda: shop.check_runs)
    write(stage, lambda c: set_budget(c, installation.installation_id, 500.0, 1, datetime.now(UTC)))
    (gates.folder / "strength").write_text("-3")  # a loss: nothing is trained after it
    gates.hold("step-2")
    gates.hold("uploaded")
    worker = gpu_worker(stage)
    shop.comment("ann", "/finetune")
    until("the middle of the training", lambda: gates.reached(1, "step-2"))
    postgres.kill()
    time.sleep(AWAY_S)
    gates.open("step-2")
    postgres.start()
    write(stage, lambda c: end_lease(c, 1))  # as after an outage longer than the lease
    until("its end", lambda: gates.reached(1, "uploaded"))
    redis.kill()
    gates.open("uploaded")
    until("the end of the run", lambda: has_ended(stage))
    redis.start()
    until("its check run", lambda: checks(shop))
    stage.until_idle()
    assert worker.stop() == 0
    run = the_run(stage)
    assert (run.ending, len(checks(shop)), len(our_comments(shop))) == ("finished", 1, 1)
    places = Places(stage.data_dir / "artifacts", stage.folder / "scratch", gates.folder)
    found: list[str] = []

    def is_at_rest() -> bool:
        found[:] = stage.ask(lambda c: left_over(c, stage.github, places, datetime.now(UTC)))
        return not found

    until("nothing left over", is_at_rest)
