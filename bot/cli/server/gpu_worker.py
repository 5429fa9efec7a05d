"""`assay gpu-worker`: train what was asked for, on as many machines as there are GPUs.

It knows the database, the store of artifacts and a list of models, and nothing of the App on GitHub: whatever of that
is in its environment is taken out before anything else happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
import typer

from bot.base_models import MODELS_VARIABLE, parse_base_models
from bot.cli.app_settings import database_url
from bot.cli.database import check_revision, private_folder, usable_database_url
from bot.cli.server.up import run
from bot.clock import SystemClock
from bot.disk.artifacts import Artifacts
from bot.gpu_worker.attempt import GpuParts
from bot.gpu_worker.scratch import scratch_folder
from bot.gpu_worker.training_child import child_environment, credentials_in, probe_device
from bot.gpu_worker.worker import GpuWorker
from bot.logs import set_up_logs
from bot.records import Run
from bot.settings import Settings, load_settings
from bot.store.database import Database
from bot.store.migrate import current
from pipeline.finetuning.libraries import FOR_TRAINING, require_libraries
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 1.0  # whether `assay up` has filled its database


@dataclass(frozen=True)
class Wanted:
    """What the command line says."""

    name: str
    device: str
    once: bool
    as_json: bool


def gpu_worker(
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What it is called in lists; by default the machine's name.")
    ] = "",
    device: Annotated[
        str, typer.Option("--device", metavar="cpu|cuda|cuda:N", help="By default a GPU if there is any.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Do the one run whose turn it is, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout: as soon as it is up, or of the one run.")
    ] = False,
) -> None:
    """Train and judge the runs that `/finetune` asks for, one at a time.

    Run one for each GPU, on as many machines as you like. Needs ASSAY_DATABASE_URL and ASSAY_ARTIFACTS_URL, or the
    data folder of an `assay up` on the same machine, and the same ASSAY_BASE_MODELS. With ASSAY_REDIS_URL it is told
    of a run at once; without, it looks every few seconds. It needs nothing of the App on GitHub.
    """
    superfluous = credentials_in(os.environ)
    for variable in superfluous:
        del os.environ[variable]
    settings = load_settings()
    set_up_logs(settings.log_format)
    if superfluous:
        log.warning("credentials_not_needed", taken_out=superfluous)
    require_libraries(FOR_TRAINING)
    device = device or settings.gpu_device
    run(serve_gpu(settings, Wanted(name or _own_name(device), device, once, as_json)))


def _own_name(device: str) -> str:
    """The same after a restart; of several on a machine each names its device."""
    host = platform.node() or "gpu-worker"
    return f"{host}/{device}" if device.startswith("cuda:") else host


async def serve_gpu(settings: Settings, wanted: Wanted) -> None:
    """Until told to stop, or until the one run is done. Raises AssayError where something is missing to begin with."""
    base_models = parse_base_models(settings.base_models)
    if not base_models:
        raise AssayError(f"set {MODELS_VARIABLE} as it is set for the other parts of Assay: it lists the models that may be used")
    environment = child_environment(os.environ)
    async with _database(settings) as database:
        with scratch_folder(private_folder(settings.data_dir) / "gpu") as scratch:
            parts = GpuParts(
                database=database,
                artifacts=Artifacts(settings.artifacts_place),
                clock=SystemClock(),
                base_models=base_models,
                minutes=settings.finetune_minutes,
                scratch=scratch,
                name=wanted.name,
                device=wanted.device,
                lease_s=settings.gpu_lease_s,
                environment=environment,
            )
            device_name = await probe_device(parts.command, environment, wanted.device)
            await _serve(GpuWorker(parts, device_name), settings, wanted, device_name)


async def _serve(worker: GpuWorker, settings: Settings, wanted: Wanted, device_name: str) -> None:
    redis_url = "" if settings.redis_url is None else settings.redis_url.get_secret_value()
    known = {"name": wanted.name, "device": device_name}
    with stopped_by_signals(worker):
        if wanted.once:
            done = await worker.once()
            log.info("gpu_worker_did", **known, run_id=done.run_id if done else None)
            _tell(known | _described(done), wanted.as_json)
            return
        log.info("gpu_worker_is_up", **known, told_by_redis=bool(redis_url))
        _tell(known, wanted.as_json)
        await worker.run(redis_url)


def _described(done: Run | None) -> dict[str, Any]:
    if done is None:
        return {"run_id": None, "state": None, "ending": None, "reason": "no run is waiting for a GPU worker"}
    return {"run_id": done.run_id, "state": done.state, "ending": done.ending, "reason": done.reason}


def _tell(said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(said), flush=True)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    """Migrated by others. Where it is a file of ours, `assay up` may be just about to make it."""
    url = usable_database_url(settings)
    if settings.database_url is None and current(url) is None:
        log.info("waits_for_assay_up", data_dir=str(settings.data_dir))
        while current(url) is None:
            await asyncio.sleep(LOOKS_EVERY_S)
    await asyncio.to_thread(check_revision, url)
    database = await Database.open(database_url(settings))
    try:
        yield database
    finally:
        await database.close()


@contextlib.contextmanager
def stopped_by_signals(worker: GpuWorker) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
