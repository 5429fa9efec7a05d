"""The worker, put together from plain parts: for `assay worker`, a process of its own, and for `assay up`."""

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
from bot.jobs.context import Hooks, Parts, Policy
from bot.jobs.wakeups import Wakeups
from bot.jobs.worker import Workers
from bot.metrics import API_REMAINING, JOB_SECONDS, SCREENINGS, SWEPT, WAKEUPS_REFUSED
from bot.records import AppCredentials, JobKind
from bot.sandbox.supervisor import Supervisor
from bot.settings import Settings
from bot.store.database import Database

MB: Final = 1 << 20
PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class WorkerParts:
    """What a worker is made of. The database belongs to whoever opened it; everything else is made and closed here."""

    database: Database
    redis_url: str = field(repr=False)  # may hold a password
    credentials: Callable[[], AppCredentials | None]  # asked each time: they may come later
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
    """The parts as the settings say. Raises AssayError for one that makes no sense."""
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
    """What the operator decided, for the handlers. Clones go through the proxies of this process's environment.

    Raises AssayError for base models or a recipe that make no sense.
    """
    base_models = parse_base_models(settings.base_models)
    return Policy(
        mode=settings.mode,
        quiet=settings.quiet,
        publish_ranking=settings.publish_ranking,
        allowed_accounts=settings.allowed_accounts,
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
    """No pack is larger than the quota that it would have to fit in."""
    return min(settings.pack_limit_mb, settings.installation_quota_mb, settings.clone_quota_mb)


async def run_worker(
    parts: WorkerParts, *, on_start: Callable[[Workers], None] = lambda workers: None, signals: bool = True
) -> None:
    """Work until told to stop: by SIGTERM or SIGINT (where `signals`), or by `stop` of what `on_start` is given.

    The first time tidily: screenings go back to the queue at once and light jobs may end; the second time at once.
    """
    wakeups = Wakeups(parts.redis_url)
    github = GitHubApp(parts.credentials, parts.server, parts.clock, _note_budget)
    supervisor = Supervisor()
    try:
        working = Parts(
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
                job_ended=_note_job,
                wakeup_refused=WAKEUPS_REFUSED.inc,
                screened=lambda result: SCREENINGS.labels(result=result).inc(),
                swept=lambda what, found: SWEPT.labels(what=what).inc(found),
            ),
        )
        workers = Workers(working, HANDLERS, parts.redis_url)
        with _stopped_by_signals(workers) if signals else contextlib.nullcontext():
            on_start(workers)
            await workers.run()
    finally:
        await supervisor.close()
        await github.close()
        await wakeups.close()


@contextlib.contextmanager
def _stopped_by_signals(workers: Workers) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, workers.stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _app_id(credentials: AppCredentials | None) -> int:
    return credentials.app_id if credentials is not None else 0


def _note_job(kind: JobKind, outcome: str, seconds: float) -> None:
    JOB_SECONDS.labels(kind=kind, result=outcome).observe(seconds)


def _note_budget(remaining: int, limit: int) -> None:
    API_REMAINING.labels(resource="core").set(remaining)
