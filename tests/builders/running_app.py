"""The whole App in this process: receiver, worker, SQLite and a Redis server, against the local GitHub.

    with running_app(tmp_path, github) as app:
        installation = app.registered.install(acme, [shop])
        app.until("a check run", lambda: shop.check_runs)

It runs in a thread of its own, with a loop of its own; the test acts on GitHub meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, get_args

from bot.calibration.calibration_source import CalibrationSource
from bot.clock import Clock
from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import CloneCache
from bot.github.endpoints import GitHubServer
from bot.jobs.embedded_redis import EmbeddedRedis
from bot.jobs.wakeups import Wakeups
from bot.jobs.worker import Worker
from bot.policy import Policy
from bot.records import JobKind
from bot.store.database import Database
from bot.store.deliveries import unhandled_deliveries
from bot.store.jobs import queue_figures, ready_jobs
from bot.web_process import create_app, make_server
from bot.worker_process import WorkerParts, run_worker
from pipeline.calibration.calibration_set import CalibrationSet, replay
from pipeline.calibration.seed import load_seed
from tests.builders.databases import create_database
from tests.builders.patience import PATIENCE_S
from tests.simulator.apps import App
from tests.simulator.github import GitHub
from tests.simulator.webhooks import Delivery

Found = TypeVar("Found")


def seed_set() -> CalibrationSet:
    return replay((), load_seed())


@dataclass
class RunningApp:
    folder: Path
    github: GitHub
    registered: App
    clock: Clock
    policy: Policy
    database_url: str
    database: Database = field(init=False)
    redis: EmbeddedRedis = field(init=False)
    redis_url: str = field(init=False)
    wakeups: Wakeups = field(init=False)
    workers: Worker | None = None
    clones: CloneCache = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    failure: BaseException | None = None

    def until(self, what: str, is_so: Callable[[], Found], within_s: float = PATIENCE_S) -> Found:
        """Wait until something is so, and return it. Raises AssertionError that says what was waited for."""
        give_up_at_s = time.monotonic() + within_s
        while not (found := is_so()):
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < give_up_at_s, f"not within {within_s:.0f} s: {what}"
            time.sleep(0.02)
        return found

    def ask(self, question: Callable[[Any], Awaitable[Found]]) -> Found:
        """The answer of a function of the store, given a connection."""

        async def read() -> Found:
            async with self.database.read() as connection:
                return await question(connection)

        return self.call(read())

    def call(self, coroutine: Any) -> Any:
        """Run something in the App's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def hear(self, deliveries: Sequence[Delivery]) -> None:
        """Wait until these were answered."""
        for delivery in deliveries:
            delivery.wait()

    def until_idle(self) -> None:
        """Wait until every delivery is handled and no job is ready or running."""

        async def is_idle(connection: Any) -> bool:
            now = self.clock.now()
            figures = await queue_figures(connection, now)
            ready = await ready_jobs(connection, now, get_args(JobKind), 1)
            waiting = await unhandled_deliveries(connection, now + timedelta(days=1), 1)
            return not (ready or waiting or any(figure.state == "running" for figure in figures))

        self.until("nothing to do", lambda: self.ask(is_idle))

    async def run(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self.redis = EmbeddedRedis(self.folder / "redis")
        self.redis_url = await self.redis.start()
        self.database = await Database.open(self.database_url)
        self.wakeups = Wakeups(self.redis_url)
        app = create_app(
            database=self.database,
            redis=self.wakeups,
            clock=self.clock,
            credentials=lambda: self.registered.credentials,
            on_loopback=True,
        )
        server = make_server(app, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.registered.webhook_url = f"http://127.0.0.1:{port}/webhook"

        def started(workers: Worker) -> None:
            self.workers = workers
            ready.set()

        try:
            await run_worker(self.parts(), on_start=started, signals=False)
        finally:
            server.should_exit = True
            await serving
            await self.wakeups.close()
            await self.database.close()
            await self.redis.stop()

    def parts(self) -> WorkerParts:
        return WorkerParts(
            database=self.database,
            redis_url=self.redis_url,
            credentials=lambda: self.registered.credentials,
            server=GitHubServer(self.github.url, self.github.api_url, "2022-11-28"),
            clock=self.clock,
            clones=self.clones,
            calibrations=CalibrationSource(seed_set, scope=self.policy.calibration_scope),
            artifacts=Artifacts(self.folder / "artifacts"),
            policy=replace(self.policy, web_url=self.github.url),
        )

    def stop(self) -> None:
        if self.workers is not None:
            self.loop.call_soon_threadsafe(self.workers.stop)


@contextlib.contextmanager
def running_app(
    folder: Path,
    github: GitHub,
    clock: Clock | None = None,
    policy: Policy | None = None,
    registered: App | None = None,
) -> Iterator[RunningApp]:
    """The App `registered` at `github`, or one with all permissions, until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'assay.sqlite'}"
    create_database(url)
    app = RunningApp(
        folder=folder,
        github=github,
        registered=registered or github.register_app(),
        clock=clock or github.clock,
        policy=policy or Policy(),
        database_url=url,
    )
    app.clones = CloneCache(
        folder / "installations", installation_quota_bytes=1 << 30, total_quota_bytes=1 << 30, free_bytes_kept=0
    )
    ready = threading.Event()

    def run() -> None:
        try:
            asyncio.run(app.run(ready))
        except BaseException as failure:
            app.failure = failure
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        if app.failure is not None:
            raise app.failure
        yield app
    finally:
        app.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the App did not stop"
    if app.failure is not None:
        raise app.failure
