"""Two jobs whose transactions deadlock: PostgreSQL aborts one, and its job runs a second later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.jobs.context import Done, Handler, JobContext, Outcome
from bot.jobs.lease import RunningJob
from bot.jobs.settle import settle
from bot.policy import Policy
from bot.records import Job
from bot.store.installations import save_installation
from bot.store.jobs import claim_job, load_job, request_job
from bot.store.repositories import note_error, save_repository
from tests.bot.store.conftest import (
    Store,
    database_url,
    every_statement_names_its_installation,
    migrated_file,
    postgres_databases,
    store,
)
from tests.bot.store.values import NOW, after, installation, repository
from tests.simulator.clocks import SettableClock

__all__ = ["database_url", "every_statement_names_its_installation", "migrated_file", "postgres_databases", "store"]

pytestmark = pytest.mark.services

BOTH = (1, 2)


@pytest.fixture
def dialect() -> str:
    return "postgresql"


def writes_to(installations: Sequence[int], barrier: asyncio.Barrier) -> Handler:
    """Changes a repository of each; the second one when everybody has changed a first one."""

    async def handler(context: JobContext) -> Outcome:
        first, second = installations
        async with context.conclusion() as connection:
            await note_error(connection, first, 7, f"by {context.installation_id}")
            await barrier.wait()
            await note_error(connection, second, 7, f"by {context.installation_id}")
        return Done()

    return handler


def claimed(store: Store) -> Job:
    job = store(claim_job, ["post"], after(5), NOW, lease_s=3600)
    assert job is not None
    return job


def test_the_aborted_job_is_retried_without_counting_an_attempt(store: Store) -> None:
    for number in BOTH:
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
        store(request_job, number, 7, "post", NOW)
    parts = cast(Any, SimpleNamespace(database=store.database, clock=SettableClock(NOW), policy=Policy()))

    async def do(jobs: Sequence[Job]) -> list[str]:
        barrier = asyncio.Barrier(len(jobs))
        running = [
            RunningJob(JobContext(job, parts), writes_to(BOTH if job.installation_id == 1 else BOTH[::-1], barrier))
            for job in jobs
        ]
        async with asyncio.timeout(30):
            return await asyncio.gather(*(settle(one) for one in running))

    jobs = [claimed(store), claimed(store)]
    ended = store.run(do(jobs))
    assert sorted(ended) == ["again", "done"]
    victim = store(load_job, jobs[ended.index("again")].job_id)
    assert victim is not None
    assert (victim.state, victim.attempts) == ("open", 0)
    assert victim.reason == "two transactions conflicted: try again"
    assert store.run(do([claimed(store)])) == ["done"]
