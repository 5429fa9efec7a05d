"""The interface between the job engine and the handlers.

A handler reads, talks to GitHub, and writes its effects in one transaction that is fenced by the job's lease: once
another worker holds the job, the transaction raises LostLease and nothing is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from bot.calibration.calibration_source import CalibrationSource
from bot.clock import Clock
from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import CloneCache
from bot.github.client import GitHubApp, InstallationClient
from bot.jobs.failures import clear_error
from bot.jobs.lanes import Lane
from bot.policy import Policy
from bot.records import Installation, Job, JobKind
from bot.sandbox.supervisor import Supervisor
from bot.store.database import Connection, Database
from bot.store.jobs import finish_job, hold_lease, is_requested, request_job

READ: Final[Mapping[str, str]] = {"contents": "read", "metadata": "read"}
ASK: Final[Mapping[str, str]] = {"metadata": "read"}
WRITE_CHECKS: Final[Mapping[str, str]] = {"checks": "write", "contents": "read", "metadata": "read"}

FIRST_LOOK: Final = timedelta(seconds=2)  # for a repository that is not listed yet
LAST_LOOK: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Done:
    """The job is finished; `reason` explains an outcome that is not the usual one."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """The job has to wait. This is not an error and does not count as an attempt."""

    not_before: datetime
    reason: str


Outcome = Done | Later


class Announcer(Protocol):
    """Sends wake-ups. Never raises when Redis is down."""

    async def announce_deliveries(self, delivery_ids: Sequence[int], *, unless_waiting: bool = False) -> None: ...

    async def announce_jobs(self, lane: Lane, job_ids: Sequence[int]) -> None: ...

    async def announce_runs(self, run_ids: Sequence[int]) -> None: ...


def _ignore(*values: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """Callbacks for metrics."""

    job_ended: Callable[[JobKind, str, float], None] = _ignore  # kind, outcome, seconds
    wakeup_refused: Callable[[], None] = _ignore
    screened: Callable[[str], None] = _ignore  # the verdict, or the kind of failure
    swept: Callable[[str, int], None] = _ignore  # what the sweeper picked up, and how many


@dataclass(frozen=True)
class Parts:
    """The services that handlers share; one set per worker process."""

    database: Database
    github: GitHubApp
    clock: Clock
    supervisor: Supervisor
    clones: CloneCache
    calibrations: CalibrationSource
    artifacts: Artifacts
    announcer: Announcer
    app_id: Callable[[], int]  # 0 until the App is registered
    policy: Policy = field(default_factory=Policy)
    hooks: Hooks = field(default_factory=Hooks)


class JobContext:
    """A job that a worker holds, and what its handler works with."""

    def __init__(self, job: Job, parts: Parts) -> None:
        self.job = job
        self.parts = parts
        self.concluded = False

    @property
    def installation_id(self) -> int:
        return self.job.installation_id

    @property
    def repository_id(self) -> int:
        return self.job.repository_id

    def now(self) -> datetime:
        return self.parts.clock.now()

    @contextlib.asynccontextmanager
    async def effect(self) -> AsyncIterator[Connection]:
        """Open a transaction that commits only while this worker holds the lease. Raises LostLease."""
        async with self.parts.database.write() as connection:
            await hold_lease(connection, self.job)
            yield connection

    @contextlib.asynccontextmanager
    async def conclusion(self, reason: str = "") -> AsyncIterator[Connection]:
        """Open a fenced transaction that also finishes the job, so that its effects and its end commit together."""
        async with self.effect() as connection:
            yield connection
            await clear_error(connection, self.job)
            await finish_job(connection, self.job, "done", self.now(), reason)
        self.concluded = True

    async def not_served(self, installation: Installation) -> Outcome:
        """Finish a job of an inactive installation. A suspension may be over, so request a sync of its state."""
        async with self.conclusion(installation.state) as connection:
            if installation.state == "suspended":
                await request_job(connection, self.installation_id, 0, "sync_installation", self.now())
        return Done()

    async def until_listed(self) -> Later | None:
        """Return when to look again for an unknown repository, while its installation is being listed; None if not."""
        async with self.parts.database.read() as connection:
            if not await is_requested(connection, self.installation_id, 0, "sync_installation"):
                return None
        waited = self.now() - self.job.made_at
        return Later(self.now() + min(max(waited / 10, FIRST_LOOK), LAST_LOOK), "the repository is not listed yet")

    async def client(self, permissions: Mapping[str, str], *, whole: bool = False) -> InstallationClient:
        """Return a client with a fresh token for the job's repository, or for the `whole` installation."""
        repository_id = None if whole else self.repository_id
        token = await self.parts.github.mint(self.installation_id, repository_id, permissions)
        return self.parts.github.installation_client(self.installation_id, token)


Handler = Callable[[JobContext], Awaitable[Outcome]]
DeliveryHandler = Callable[[Parts, int], Awaitable[bool]]  # by delivery id; returns whether it requested a job


@dataclass(frozen=True, slots=True)
class SweepTask:
    """Work that every sweeper does itself: in each sweep, or at most once in `every_s` seconds."""

    run: Callable[[Parts], Awaitable[object]]
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Handlers:
    """Everything that the engine calls. Composition fills it in, so the engine imports no handler."""

    jobs: Mapping[JobKind, Handler]
    deliver: DeliveryHandler
    sweep: tuple[SweepTask, ...] = ()
