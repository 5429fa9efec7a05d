"""A worker's parts with a real database and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from bot.jobs.context import Parts
from bot.jobs.lanes import CAPS, KINDS
from bot.policy import Policy
from bot.records import Event, Installation, Job, Repository
from bot.store.database import Database
from bot.store.deliveries import store_deliveries
from bot.store.installations import save_installation
from bot.store.jobs import claim_job, load_job, request_job
from bot.store.repositories import save_repository
from tests.builders.databases import create_database
from tests.simulator.clocks import SettableClock

ACME = Installation(10, 1, "acme", "Organization", "active", {"checks": "write"})
SHOP = Repository(10, 100, "acme/shop", "main", private=False, archived=False)


QUICK = Policy(heartbeat_s=0.02, lease_s=0.5, sweep_s=0.02)


class Announced:
    """Records announcements."""

    def __init__(self) -> None:
        self.deliveries: list[int] = []
        self.jobs: list[int] = []
        self.runs: list[int] = []

    async def announce_deliveries(self, delivery_ids: Iterable[int], *, unless_waiting: bool = False) -> None:
        self.deliveries += delivery_ids

    async def announce_jobs(self, lane: str, job_ids: Iterable[int]) -> None:
        self.jobs += job_ids

    async def announce_runs(self, run_ids: Iterable[int]) -> None:
        self.runs += run_ids


@dataclass
class Shop:
    """A database with one installation of one repository."""

    database: Database
    clock: SettableClock
    announced: Announced = field(default_factory=Announced)
    policy: Policy = QUICK

    @property
    def parts(self) -> Parts:
        nobody = cast(Any, None)
        return Parts(
            database=self.database,
            github=nobody,
            clock=self.clock,
            supervisor=nobody,
            clones=nobody,
            calibrations=nobody,
            artifacts=nobody,
            announcer=self.announced,
            app_id=lambda: 1,
            policy=self.policy,
        )

    async def ask_for(self, kind: Any, **options: Any) -> int:
        async with self.database.write() as connection:
            return await request_job(connection, 10, 100, kind, self.clock.now(), **options)

    async def claim(self, lane: str = "light", lease_s: float = 0.5) -> Job | None:
        async with self.database.write() as connection:
            return await claim_job(
                connection, KINDS[cast(Any, lane)], self.clock.now(), datetime.now(UTC), lease_s=lease_s, caps=CAPS
            )

    async def claimed(self, lane: str = "light", lease_s: float = 0.5) -> Job:
        job = await self.claim(lane, lease_s)
        assert job is not None
        return job

    async def job(self, job_id: int) -> Job:
        async with self.database.read() as connection:
            job = await load_job(connection, job_id)
        assert job is not None
        return job

    async def read(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        async with self.database.read() as connection:
            return await function(connection, *arguments)

    async def write(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        async with self.database.write() as connection:
            return await function(connection, *arguments)

    async def deliver(self, guid: str, event: Event) -> int:
        async with self.database.write() as connection:
            (stored,) = await store_deliveries(connection, [(guid, event)], self.clock.now())
        return stored.delivery_id


@asynccontextmanager
async def open_shop(folder: Path) -> AsyncIterator[Shop]:
    database = await Database.open(f"sqlite:///{folder / 'assay.sqlite'}")
    shop = Shop(database, SettableClock())
    async with database.write() as connection:
        await save_installation(connection, ACME, shop.clock.now())
        await save_repository(connection, SHOP)
    try:
        yield shop
    finally:
        await database.close()


Story = Callable[[Shop], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """Run a story against a database of its own."""
    create_database(f"sqlite:///{tmp_path / 'assay.sqlite'}")

    async def run(story: Story) -> None:
        async with open_shop(tmp_path) as shop:
            await story(shop)

    return lambda story: asyncio.run(run(story))
