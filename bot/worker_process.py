"""Composition of the worker, for `assay worker` and `assay up`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from bot.base_models import default_base_model, parse_base_models, parse_recipe_changes
from bot.calibration.calibration_source import CalibrationSource
from bot.clock import Clock
from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import CloneCache
from bot.github.client import GitHubApp
from bot.github.endpoints import GitHubServer
from bot.handlers.registry import HANDLERS
from bot.jobs.context import Hooks, Parts
from bot.jobs.wakeups import Wakeups
from bot.jobs.worker import Worker
from bot.metrics import API_REMAINING, JOB_SECONDS, SCREENINGS, SWEPT, WAKEUPS_REFUSED
from bot.policy import Policy
from bot.records import AppCredentials, JobKind
from bot.sandbox.supervisor import Supervisor
from bot.settings import Settings
from bot.store.database import Database

MB: Final = 1 << 20
PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class WorkerParts:
    """What `run_worker` needs. Its caller owns the database; `run_worker` creates and closes everything else."""

    database: Database
    redis_url: str = field(repr=False)  # may contain a password
    credentials: Callable[[], AppCredentials | None]  # called each time: the App may be registered later
    server: GitHubServer
    clock: Clock
    clones: CloneCache
    calibrations: CalibrationSource
    artifacts: Artifacts
    policy: Policy


def worker_parts(
    settings: Settings,
    *,
    database: Database,
    redis_url: str,
    credentials: Callable[[], AppCredentials | None],
    server: GitHubServer,
    clock: Clock,
    calibrations: CalibrationSource,
) -> WorkerParts:
    """Build the parts from the settings. Raises AssayError for an invalid setting."""
    return WorkerParts(
        database=database,
        redis_url=redis_url,
        credentials=credentials,
        server=server,
        clock=clock,
        clones=clones_of(settings),
        calibrations=calibrations,
        artifacts=Artifacts(settings.artifacts_place),
        policy=policy_of(settings),
    )


def policy_of(settings: Settings) -> Policy:
    """Build the policy from the settings. Clones use the proxies of this process's environment.

    Raises AssayError for invalid base models or an invalid recipe.
    """
    base_models = parse_base_models(settings.base_models)
    return Policy(
        mode=settings.mode,
        quiet=settings.quiet,
        publish_ranking=settings.publish_ranking,
        allowed_accounts=settings.allowed_accounts,
        refused_days=settings.refused_days,
        web_url=settings.github_url,
        ca_bundle=settings.ca_bundle,
        proxies={name: os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)},
        pack_limit_bytes=_pack_limit_mb(settings) * MB,
        screenings=settings.screenings,
        screening_s=settings.screening_minutes * 60,
        screening_memory_mb=settings.screening_memory_mb,
        permission=settings.permission,
        base_models=base_models,
        base_model=default_base_model(base_models, settings.base_model),
        recipe=parse_recipe_changes(settings.finetune),
        finetune_minutes=settings.finetune_minutes,
        audit_share=settings.audit_share,
        artifacts_days=settings.artifacts_days,
        calibration_scope=settings.calibration_scope,
        lease_s=settings.lease_s,
        heartbeat_s=settings.lease_s / 6,
        sweep_s=settings.sweep_s,
    )


def clones_of(settings: Settings) -> CloneCache:
    return CloneCache(
        settings.data_dir / "installations",
        installation_quota_bytes=settings.installation_quota_mb * MB,
        total_quota_bytes=settings.clone_quota_mb * MB,
        free_bytes_kept=settings.free_disk_mb * MB,
        pack_limit_bytes=_pack_limit_mb(settings) * MB,
    )


def _pack_limit_mb(settings: Settings) -> int:
    """Return the pack limit, which no quota may undercut."""
    return min(settings.pack_limit_mb, settings.installation_quota_mb, settings.clone_quota_mb)


async def run_worker(
    parts: WorkerParts, *, on_start: Callable[[Worker], None] = lambda worker: None, signals: bool = True
) -> None:
    """Work until SIGTERM or SIGINT (with `signals`), or until the worker passed to `on_start` is stopped.

    The first request is graceful: screenings return to the queue and light jobs finish. A second one is immediate.
    """
    wakeups = Wakeups(parts.redis_url)
    github = GitHubApp(parts.credentials, parts.server, parts.clock, _set_budget)
    supervisor = Supervisor()
    try:
        shared = Parts(
            database=parts.database,
            github=github,
            clock=parts.clock,
            supervisor=supervisor,
            clones=parts.clones,
            calibrations=parts.calibrations,
            artifacts=parts.artifacts,
            announcer=wakeups,
            app_id=lambda: _app_id(parts.credentials()),
            policy=parts.policy,
            hooks=Hooks(
                job_ended=_count_job,
                wakeup_refused=WAKEUPS_REFUSED.inc,
                screened=lambda result: SCREENINGS.labels(result=result).inc(),
                swept=lambda what, count: SWEPT.labels(what=what).inc(count),
            ),
        )
        worker = Worker(shared, HANDLERS, parts.redis_url)
        with _stopped_by_signals(worker) if signals else contextlib.nullcontext():
            on_start(worker)
            await worker.run()
    finally:
        await supervisor.close()
        await github.close()
        await wakeups.close()


@contextlib.contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _app_id(credentials: AppCredentials | None) -> int:
    return credentials.app_id if credentials is not None else 0


def _count_job(kind: JobKind, outcome: str, seconds: float) -> None:
    JOB_SECONDS.labels(kind=kind, result=outcome).observe(seconds)


def _set_budget(remaining: int, limit: int) -> None:
    API_REMAINING.labels(resource="core").set(remaining)
