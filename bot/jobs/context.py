"""What a handler is given, and what it answers.

A handler reads, asks GitHub, and writes its effect in one transaction that is fenced by the job's lease: where another
worker has taken the job over, nothing of it is written and LostLease is raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from bot.calibration.calibration_source import CalibrationSource
from bot.clock import Clock
from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import CloneCache
from bot.github.client import GitHubApp, InstallationClient
from bot.jobs.lanes import Lane
from bot.records import Installation, Job, JobKind
from bot.repo_config.repository_config import Permission
from bot.sandbox.supervisor import Supervisor
from bot.store.database import Database
from bot.store.jobs import finish_job, hold_lease, request_job
from pipeline.finetuning.recipe import BaseModel

READ: Final[Mapping[str, str]] = {"contents": "read", "metadata": "read"}
ASK: Final[Mapping[str, str]] = {"metadata": "read"}
WRITE_CHECKS: Final[Mapping[str, str]] = {"checks": "write", "contents": "read", "metadata": "read"}


@dataclass(frozen=True, slots=True)
class Done:
    """The job is done; `reason` says what came of it where that is not plain."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """The job has to wait: no error, and no attempt is counted."""

    not_before: datetime
    reason: str


Outcome = Done | Later


@dataclass(frozen=True)
class Policy:
    """What the operator decided, as plain values."""

    mode: Literal["post", "observe"] = "post"
    quiet: bool = False
    publish_ranking: bool = False  # on public repositories too
    allowed_accounts: tuple[str, ...] = ()  # logins in lower case; everybody where empty
    permission: Permission = "write"  # the least that a configuration may ask for, of whoever gives commands
    web_url: str = "https://github.com"  # clones come from here
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # for clones; may hold passwords
    pack_limit_bytes: int = 4 << 30
    screenings: int = 2  # at once, of one worker
    screening_s: int = 3600  # of wall time, and of processor time
    screening_memory_mb: int = 4096
    light_jobs: int = 8  # at once, of one worker
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    sweep_s: float = 2.0
    stop_s: float = 10.0  # for light jobs to end when the worker is told to stop
    base_models: Mapping[str, BaseModel] = field(default_factory=dict)  # that may be asked for; none: no fine-tuning
    base_model: str = ""  # where nobody names one
    recipe: Mapping[str, Any] = field(default_factory=dict)  # fields of FinetuneRecipe that differ from what ships
    finetune_minutes: float = 360.0  # of one run, at most
    audit_share: float = 0.0  # of SKIPs that are run to test them
    artifacts_days: int = 90  # that adapters are kept which nothing uses
    calibration_scope: Literal["installation", "server"] = "installation"


class Announcer(Protocol):
    """Raises nothing where Redis is away."""

    async def announce_deliveries(self, delivery_ids: Sequence[int], *, unless_waiting: bool = False) -> None: ...

    async def announce_jobs(self, lane: Lane, job_ids: Sequence[int]) -> None: ...

    async def announce_runs(self, run_ids: Sequence[int]) -> None: ...


def _ignore(*values: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """Called with what happened, for metrics."""

    job_ended: Callable[[JobKind, str, float], None] = _ignore  # kind, outcome, seconds
    wakeup_refused: Callable[[], None] = _ignore
    screened: Callable[[str], None] = _ignore  # verdict, or the kind of failure
    swept: Callable[[str, int], None] = _ignore  # what was found, how many


@dataclass(frozen=True)
class Parts:
    """Everything that handlers work with. One of each in a worker."""

    database: Database
    github: GitHubApp
    clock: Clock
    supervisor: Supervisor
    clones: CloneCache
    calibrations: CalibrationSource
    artifacts: Artifacts
    announcer: Announcer
    app_id: Callable[[], int]  # 0 while the App is not registered
    policy: Policy = field(default_factory=Policy)
    hooks: Hooks = field(default_factory=Hooks)


class JobContext:
    """One job in the hands of one worker."""

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
    async def effect(self) -> AsyncIterator[Any]:
        """A transaction that is written only while the lease is ours. Raises LostLease."""
        async with self.parts.database.write() as connection:
            await hold_lease(connection, self.job)
            yield connection

    @contextlib.asynccontextmanager
    async def conclusion(self, reason: str = "") -> AsyncIterator[Any]:
        """A fenced transaction that ends the job as well: its effect and its end are written together, or not."""
        async with self.effect() as connection:
            yield connection
            await finish_job(connection, self.job, "done", self.now(), reason)
        self.concluded = True

    async def not_served(self, installation: Installation) -> Outcome:
        """The end of a job of an installation that is not active. A suspension is asked about: it may be over."""
        async with self.conclusion(installation.state) as connection:
            if installation.state == "suspended":
                await request_job(connection, self.installation_id, 0, "sync_installation", self.now())
        return Done()

    async def client(self, permissions: Mapping[str, str], *, whole: bool = False) -> InstallationClient:
        """A client under a fresh token: for the job's repository alone, or for the `whole` installation."""
        repository_id = None if whole else self.repository_id
        token = await self.parts.github.mint(self.installation_id, repository_id, permissions)
        return self.parts.github.installation_client(self.installation_id, token)


Handler = Callable[[JobContext], Awaitable[Outcome]]
