"""`assay gpu-worker`: train queued runs. Start one per GPU, on any number of machines.

It uses the database, the artifact store and the list of base models. It does not need the App's credentials and removes
them from its environment first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import platform
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
import typer

from bot.base_models import MODELS_VARIABLE, parse_base_models
from bot.cli.app_settings import database_url
from bot.cli.database import check_revision, private_folder, usable_database_url
from bot.cli.server.up import run, start_settings
from bot.clock import SystemClock
from bot.disk.artifacts import Artifacts
from bot.gpu_worker.attempt import GpuParts
from bot.gpu_worker.scratch import scratch_folder
from bot.gpu_worker.training_child import child_environment, credentials_in, probe_device
from bot.gpu_worker.worker import GpuWorker
from bot.jobs.wakeups import require_redis_url
from bot.records import Run
from bot.settings import Settings
from bot.store.database import Database, StoreUnavailable
from bot.store.migrate import current
from pipeline.finetuning.libraries import FOR_TRAINING, require_libraries
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

POLL_EVERY_S = 1.0  # while waiting for `assay up` to create the database, and at first for one that is away
MAX_POLL_S = 30.0
ONCE_WITHIN_S = 60.0  # with --once, for a database that is away; without it, for as long as it takes


@dataclass(frozen=True)
class Options:
    """The command's options."""

    name: str
    device: str
    once: bool
    as_json: bool


def gpu_worker(
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the worker. Default: the host name.")
    ] = "",
    device: Annotated[
        str, typer.Option("--device", metavar="cpu|cuda|cuda:N", help="Default: a GPU if there is one.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Process the next run, then exit.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when ready; with --once, after the run.")
    ] = False,
) -> None:
    """Train and judge the runs requested by `/finetune`, one at a time.

    Start one per GPU, on any number of machines. It needs ASSAY_DATABASE_URL and ASSAY_ARTIFACTS_URL, or the data
    folder of an `assay up` on the same machine, and the server's ASSAY_BASE_MODELS. With ASSAY_REDIS_URL it starts
    runs immediately; without, it polls every few seconds. It does not need the App's credentials.
    """
    credentials = credentials_in(os.environ)
    for variable in credentials:
        del os.environ[variable]
    settings = start_settings()
    if credentials:
        log.warning("credentials_removed", variables=credentials)
    require_libraries(FOR_TRAINING)
    device = device or settings.gpu_device
    run(serve_gpu(settings, Options(name or _default_name(device), device, once, as_json)))


def _default_name(device: str) -> str:
    """Return a name that is stable across restarts and unique per device of a machine."""
    host = platform.node() or "gpu-worker"
    return f"{host}/{device}" if device.startswith("cuda:") else host


async def serve_gpu(settings: Settings, options: Options) -> None:
    """Run the worker until it is stopped, or with `once` until one run ended. Raises AssayError if it cannot start."""
    if settings.redis_url is not None:
        require_redis_url(settings.redis_url.get_secret_value())
    base_models = parse_base_models(settings.base_models)
    if not base_models:
        raise AssayError(f"{MODELS_VARIABLE} is not set: set it to the same base models as on the server")
    environment = child_environment(os.environ)
    async with _database(settings, ONCE_WITHIN_S if options.once else math.inf) as database:
        with scratch_folder(private_folder(settings.data_dir) / "gpu") as scratch:
            parts = GpuParts(
                database=database,
                artifacts=Artifacts(settings.artifacts_place),
                clock=SystemClock(),
                base_models=base_models,
                minutes=settings.finetune_minutes,
                scratch=scratch,
                name=options.name,
                device=options.device,
                lease_s=settings.gpu_lease_s,
                environment=environment,
            )
            device_name = await probe_device(parts.command, environment, options.device)
            await _serve(GpuWorker(parts, device_name), settings, options, device_name)


async def _serve(worker: GpuWorker, settings: Settings, options: Options, device_name: str) -> None:
    redis_url = "" if settings.redis_url is None else settings.redis_url.get_secret_value()
    identity = {"name": options.name, "device": device_name}
    with stopped_by_signals(worker):
        if options.once:
            run = await worker.once()
            log.info("gpu_worker_finished_once", **identity, run_id=run.run_id if run else None)
            _print_json(identity | _run_fields(run), options.as_json)
            return
        log.info("gpu_worker_started", **identity, uses_redis=bool(redis_url))
        _print_json(identity, options.as_json)
        await worker.run(redis_url)


def _run_fields(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"run_id": None, "state": None, "ending": None, "reason": "no run is waiting for a GPU worker"}
    return {"run_id": run.run_id, "state": run.state, "ending": run.ending or "", "reason": run.reason or ""}


def _print_json(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(values), flush=True)


@contextlib.asynccontextmanager
async def _database(settings: Settings, within_s: float) -> AsyncIterator[Database]:
    """Open the database, which other processes migrate. If it is away, wait for it, and raise after `within_s`."""
    give_up_at_s, pause_s = time.monotonic() + within_s, POLL_EVERY_S
    while True:
        try:
            database = await _open(settings)
            break
        except StoreUnavailable as error:
            if time.monotonic() + pause_s > give_up_at_s:
                raise
            log.warning("database_unavailable", problem=str(error), again_in_s=round(pause_s, 1))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_POLL_S)
    try:
        yield database
    finally:
        await database.close()


async def _open(settings: Settings) -> Database:
    """Open the database. Waits for `assay up` to create the default database file. Raises StoreUnavailable."""
    url = usable_database_url(settings)
    if settings.database_url is None and current(url) is None:
        log.info("waiting_for_assay_up", data_dir=str(settings.data_dir))
        while current(url) is None:
            await asyncio.sleep(POLL_EVERY_S)
    await asyncio.to_thread(check_revision, url)
    return await Database.open(database_url(settings))


@contextlib.contextmanager
def stopped_by_signals(worker: GpuWorker) -> Iterator[None]:
    """Stop the worker on SIGTERM and SIGINT within the context."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
