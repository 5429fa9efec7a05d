"""Run the servers behind `assay up`, `assay web` and `assay worker`.

1. the database: migrate it (`up`), or check that its schema is that of this release
2. Redis: the operator's, or an embedded server (`up`)
3. the web server: receiver, health, pages; the setup page until the App is registered
4. the worker, once the App is registered
5. SIGTERM or Ctrl-C: shut down gracefully, the second time immediately
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

POLL_EVERY_S = 2.0  # for credentials stored by another process


@dataclass(frozen=True)
class Roles:
    """What one process does."""

    listening: socket.socket | None = None  # serve the web on this socket
    work: bool = False
    all_in_one: bool = False  # migrate the database, and embed Redis unless a URL is set
    on_ready: Callable[[dict[str, object]], None] = lambda ready: None  # called once with the address and state


@dataclass
class Registration:
    """The App's credentials, once it is registered. Call it to get them."""

    settings: Settings
    credentials: AppCredentials | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reload()

    def __call__(self) -> AppCredentials | None:
        return self.credentials

    def reload(self) -> None:
        """Read stored credentials again. Raises AssayError if they are invalid."""
        credentials = effective_credentials(self.settings)
        if credentials is not None:
            self.set(credentials)

    def set(self, credentials: AppCredentials) -> None:
        """Use these credentials, and wake those who wait for them."""
        self.credentials = credentials
        self.arrived.set()

    async def wait(self) -> None:
        """Wait until this or another process has stored credentials."""
        while self.credentials is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.arrived.wait(), POLL_EVERY_S)
            if self.credentials is None:
                self.reload()


class Shutdown:
    """Stops all servers of this process: gracefully the first time, immediately the second."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[bool], None]] = []
        self.requested = asyncio.Event()

    def on_stop(self, stop: Callable[[bool], None]) -> None:
        """Call `stop(immediately)` on every request, and now if one came before."""
        self._callbacks.append(stop)
        if self.requested.is_set():
            stop(False)

    def request(self) -> None:
        """Request a graceful stop; an immediate one when called again."""
        immediately = self.requested.is_set()
        self.requested.set()
        for stop in self._callbacks:
            stop(immediately)


async def serve(settings: Settings, roles: Roles, clock: Clock | None = None) -> None:
    """Run until stopped. Raises AssayError if something needed to start is missing."""
    registration, shutdown, clock = Registration(settings), Shutdown(), clock or SystemClock()
    with _signals(shutdown):
        async with (
            _database(settings, roles.all_in_one) as database,
            _redis_url(settings, roles.all_in_one) as redis_url,
            asyncio.TaskGroup() as group,
        ):
            servers = _Servers(settings, registration, shutdown, clock, database, redis_url)
            roles.on_ready({"address": _address(roles), "works": roles.work, "registered": registration() is not None})
            if roles.listening is not None:
                group.create_task(servers.web(roles.listening))
            if roles.work:
                group.create_task(servers.worker())
            if settings.metrics_address != "off":
                group.create_task(servers.metrics())


def _address(roles: Roles) -> str | None:
    if roles.listening is None:
        return None
    from bot.cli.server.setup_server import local_address

    return local_address(roles.listening)


@dataclass(frozen=True)
class _Servers:
    """The tasks of one process, with what they share."""

    settings: Settings
    registration: Registration
    shutdown: Shutdown
    clock: Clock
    database: Database
    redis_url: str = field(repr=False)

    async def web(self, listening: socket.socket) -> None:
        """Serve deliveries, health and pages, and the setup page until the App is registered."""
        from bot.cli.server.setup_server import local_address
        from bot.jobs.wakeups import Wakeups
        from bot.web_process import create_app

        local_url = local_address(listening)
        wakeups = Wakeups(self.redis_url)
        app = create_app(
            database=self.database,
            redis=wakeups,
            clock=self.clock,
            credentials=self.registration,
            on_loopback=self._is_local(listening),
            extra_routes=[] if self.registration.credentials else self._setup_routes(local_url),
        )
        log.info("web_server_started", address=local_url, registered=self.registration.credentials is not None)
        polling = asyncio.create_task(self.registration.wait())
        try:
            await self._listen(app, listening)
        finally:
            polling.cancel()
            await asyncio.wait([polling])
            await wakeups.close()
            if not self.shutdown.requested.is_set():  # a second request would stop the others immediately
                self.shutdown.request()

    def _is_local(self, listening: socket.socket) -> bool:
        """Return whether only this machine can connect. A public URL implies a proxy, whose clients appear local."""
        from bot.web.loopback import is_loopback_name

        public = urlsplit(self.settings.public_url or "http://localhost").hostname or ""
        return is_loopback_name(listening.getsockname()[0]) and is_loopback_name(public)

    def _setup_routes(self, local_url: str) -> Sequence[BaseRoute]:
        from bot.cli.server.setup_server import make_setup_state, print_address
        from bot.setup.page import setup_routes

        registration = self.registration
        state = make_setup_state(
            self.settings,
            local_url,
            registration.set,
            "Assay continues by itself.",
            lambda: registration() is not None,
        )
        print_address(state, local_url)
        return setup_routes(state)

    async def worker(self) -> None:
        """Wait for credentials, then run the worker."""
        from bot.cli.server.calibration_cache import calibration_source
        from bot.worker_process import run_worker, worker_parts

        if self.registration.credentials is None:
            log.info("worker_waiting_for_registration")
        waiting = [asyncio.create_task(wait) for wait in (self.registration.wait(), self.shutdown.requested.wait())]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()
        if self.shutdown.requested.is_set():
            return
        parts = worker_parts(
            self.settings,
            database=self.database,
            redis_url=self.redis_url,
            credentials=self.registration,
            server=github_server(self.settings),
            clock=self.clock,
            calibrations=calibration_source(self.settings),
        )
        await run_worker(
            parts, on_start=lambda workers: self.shutdown.on_stop(lambda immediately: workers.stop()), signals=False
        )

    async def metrics(self) -> None:
        """Serve metrics on a separate port; log a warning if another Assay process already uses the port."""
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
            log.warning("metrics_disabled", problem=str(problem))
            return
        with listening:
            await self._listen(create_metrics_app(self.database, self.clock), listening)

    async def _listen(self, app: Starlette, listening: socket.socket) -> None:
        from bot.web_process import make_server

        server = make_server(app, *listening.getsockname()[:2])
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # see _signals

        def stop(immediately: bool) -> None:
            server.should_exit = True
            server.force_exit = immediately

        self.shutdown.on_stop(stop)
        await server.serve(sockets=[listening])


@contextlib.contextmanager
def _signals(shutdown: Shutdown) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, shutdown.request)
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
        raise AssayError("ASSAY_REDIS_URL is not set: web and worker need a shared Redis (`assay up` embeds one)")
    from bot.jobs.embedded_redis import EmbeddedRedis

    server = EmbeddedRedis(private_folder(settings.data_dir) / "redis")
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()
