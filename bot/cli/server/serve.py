"""The servers, put together from the settings: what `assay up`, `assay web` and `assay worker` have in common.

1. the database: migrated (`up`), or seen to be of this release
2. Redis: the operator's, or a server of our own (`up`)
3. the web server: receiver, health, pages; the setup page where the App is not registered yet
4. the worker, as soon as the App is registered
5. SIGTERM or Ctrl-C: everything ends tidily, at once the second time
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from bot.cli.app_settings import effective_credentials, github_server
from bot.cli.database import check_revision, private_folder, usable_database_url
from bot.clock import Clock, SystemClock
from bot.records import AppCredentials
from bot.settings import Settings
from bot.store.database import Database
from pipeline.records import AssayError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 2.0  # for credentials that another process stores


@dataclass(frozen=True)
class Roles:
    """What one process is to do."""

    listening: socket.socket | None = None  # serve the web on it
    work: bool = False
    all_in_one: bool = False  # migrate the database, run a Redis of our own where none is named
    tell: Callable[[dict[str, object]], None] = lambda ready: None  # called once, with what is there to be used


@dataclass
class Registered:
    """The credentials in force, as soon as there are some."""

    settings: Settings
    known: AppCredentials | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.look()

    def __call__(self) -> AppCredentials | None:
        return self.known

    def look(self) -> bool:
        """Read them again. Raises AssayError where they cannot be used."""
        found = effective_credentials(self.settings)
        if found is not None:
            self.take(found)
        return found is not None

    def take(self, credentials: AppCredentials) -> None:
        self.known = credentials
        self.arrived.set()

    async def wait(self) -> None:
        """Until there are some, whoever stored them."""
        while self.known is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.arrived.wait(), LOOKS_EVERY_S)
            if self.known is None:
                self.look()


class Stopping:
    """Tells everything that runs to end: tidily the first time, at once the second."""

    def __init__(self) -> None:
        self._stops: list[Callable[[bool], None]] = []
        self.begun = asyncio.Event()

    def on_stop(self, stop: Callable[[bool], None]) -> None:
        """`stop` is called with whether it is to be at once; now, if it was asked for already."""
        self._stops.append(stop)
        if self.begun.is_set():
            stop(False)

    def ask(self) -> None:
        at_once = self.begun.is_set()
        self.begun.set()
        for stop in self._stops:
            stop(at_once)


async def serve(settings: Settings, roles: Roles, clock: Clock | None = None) -> None:
    """Run until told to stop. Raises AssayError where something is missing to begin with."""
    registered, stopping, clock = Registered(settings), Stopping(), clock or SystemClock()
    with _signals(stopping):
        async with (
            _database(settings, roles.all_in_one) as database,
            _redis_url(settings, roles.all_in_one) as redis_url,
            asyncio.TaskGroup() as group,
        ):
            serving = _Serving(settings, registered, stopping, clock, database, redis_url)
            roles.tell({"address": _address(roles), "works": roles.work, "registered": registered() is not None})
            if roles.listening is not None:
                group.create_task(serving.web(roles.listening))
            if roles.work:
                group.create_task(serving.worker())
            if settings.metrics_address != "off":
                group.create_task(serving.metrics())


def _address(roles: Roles) -> str | None:
    if roles.listening is None:
        return None
    from bot.cli.server.setup_server import local_address

    return local_address(roles.listening)


@dataclass(frozen=True)
class _Serving:
    """The parts that the tasks of one process share."""

    settings: Settings
    registered: Registered
    stopping: Stopping
    clock: Clock
    database: Database
    redis_url: str = field(repr=False)

    async def web(self, listening: socket.socket) -> None:
        """Deliveries, health and pages, and the setup page while there are no credentials."""
        from bot.cli.server.setup_server import local_address
        from bot.jobs.wakeups import Wakeups
        from bot.web_process import create_app

        local_url = local_address(listening)
        wakeups = Wakeups(self.redis_url)
        app = create_app(
            database=self.database,
            redis=wakeups,
            clock=self.clock,
            credentials=self.registered,
            on_loopback=self._is_for_this_machine(listening),
            extra_routes=[] if self.registered.known else self._setup_routes(local_url),
        )
        log.info("web_listens", address=local_url, registered=self.registered.known is not None)
        looking = asyncio.create_task(self.registered.wait())
        try:
            await self._listen(app, listening)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await wakeups.close()
            if not self.stopping.begun.is_set():  # asking again would end the others at once
                self.stopping.ask()

    def _is_for_this_machine(self, listening: socket.socket) -> bool:
        """A public address says that a proxy stands before us, whose visitors look as if they came from here."""
        from bot.web.loopback import is_loopback_name

        public = urlsplit(self.settings.public_url or "http://localhost").hostname or ""
        return is_loopback_name(listening.getsockname()[0]) and is_loopback_name(public)

    def _setup_routes(self, local_url: str) -> Sequence[BaseRoute]:
        from bot.cli.server.setup_server import make_setup_state, tell_address
        from bot.setup.page import setup_routes

        known = self.registered
        state = make_setup_state(
            self.settings, local_url, known.take, "Assay goes on by itself.", lambda: known() is not None
        )
        tell_address(state, local_url)
        return setup_routes(state)

    async def worker(self) -> None:
        """Wait for credentials, then work."""
        from bot.cli.server.calibration_cache import calibration_source
        from bot.worker_process import run_worker, worker_parts

        if self.registered.known is None:
            log.info("worker_waits_for_registration")
        waiting = [asyncio.create_task(wait) for wait in (self.registered.wait(), self.stopping.begun.wait())]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()
        if self.stopping.begun.is_set():
            return
        parts = worker_parts(
            self.settings,
            database=self.database,
            redis_url=self.redis_url,
            credentials=self.registered,
            server=github_server(self.settings),
            clock=self.clock,
            calibrations=calibration_source(self.settings),
        )
        await run_worker(
            parts, on_start=lambda workers: self.stopping.on_stop(lambda at_once: workers.stop()), signals=False
        )

    async def metrics(self) -> None:
        """A port of its own. One that is taken (another process of Assay has it) is said and does no harm."""
        from bot.cli.server.setup_server import listen
        from bot.web.loopback import is_loopback_name
        from bot.web_process import create_metrics_app

        host, _, port = self.settings.metrics_address.rpartition(":")
        if not is_loopback_name(host.strip("[]")) or not port.isdigit():
            example = "such as 127.0.0.1:9464, or off"
            raise AssayError(f"ASSAY_METRICS_ADDRESS: must be a loopback address with a port, {example}")
        try:
            listening = listen(host.strip("[]"), int(port))
        except AssayError as problem:
            log.warning("no_metrics", problem=str(problem))
            return
        with listening:
            await self._listen(create_metrics_app(self.database, self.clock), listening)

    async def _listen(self, app: Starlette, listening: socket.socket) -> None:
        from bot.web_process import make_server

        server = make_server(app, *listening.getsockname()[:2])
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # ours see to it

        def stop(at_once: bool) -> None:
            server.should_exit = True
            server.force_exit = at_once

        self.stopping.on_stop(stop)
        await server.serve(sockets=[listening])


@contextlib.contextmanager
def _signals(stopping: Stopping) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stopping.ask)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _database(settings: Settings, migrating: bool) -> AsyncIterator[Database]:
    url = usable_database_url(settings)
    if migrating:
        from bot.store.migrate import migrate

        await asyncio.to_thread(migrate, url)
    else:
        await asyncio.to_thread(check_revision, url)
    database = await Database.open(url)
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _redis_url(settings: Settings, embedded: bool) -> AsyncIterator[str]:
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    if not embedded:
        raise AssayError("set ASSAY_REDIS_URL: web and worker meet there (`assay up` brings a Redis of its own)")
    from bot.jobs.embedded_redis import EmbeddedRedis

    server = EmbeddedRedis(private_folder(settings.data_dir) / "redis")
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()
