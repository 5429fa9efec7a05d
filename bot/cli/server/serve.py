"""Run the servers behind `assay up`, `assay web` and `assay worker`.

1. the database: migrate it (`up`), or check that its schema is that of this release
2. Redis: the operator's, or an embedded server (`up`)
3. the web server: receiver, health; the setup page until the App is registered; pages on a port of their own
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
from bot.github.credentials import read_secret
from bot.records import AppCredentials
from bot.settings import Settings
from bot.store.database import Database
from bot.web.loopback import is_loopback_name
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
            pages = _listen_for_pages(settings, roles.listening)
            pages_url = _address(pages)
            ready = {"works": roles.work, "registered": registration() is not None, "pages": pages_url}
            roles.on_ready({"address": _address(roles.listening), **ready})
            if roles.listening is not None:
                group.create_task(servers.web(roles.listening, pages_url or ""))
            if roles.work:
                group.create_task(servers.worker())
            if pages is not None:
                group.create_task(servers.pages(pages))
            if settings.metrics_address != "off":
                group.create_task(servers.metrics())


def _address(listening: socket.socket | None) -> str | None:
    if listening is None:
        return None
    from bot.cli.server.setup_server import local_address

    return local_address(listening)


def _listen_for_pages(settings: Settings, web: socket.socket | None) -> socket.socket | None:
    """Open the pages' own socket, which no proxy of the receiver forwards to. None: there are no pages.

    Without ASSAY_PAGES_ADDRESS they get any free port, unless others than this machine are meant to reach the web.
    """
    if web is None or settings.pages_address == "off":
        return None
    if settings.pages_address:
        host, port = _parse_address("ASSAY_PAGES_ADDRESS", settings.pages_address, "127.0.0.1:8001")
        if not is_loopback_name(host):
            raise AssayError("ASSAY_PAGES_ADDRESS: must be a loopback address, as there is no sign-in yet")
    else:
        public = urlsplit(settings.public_url or "http://localhost").hostname or ""
        host, port = web.getsockname()[0], 0
        if not is_loopback_name(host) or not is_loopback_name(public):
            return None
    return _try_to_listen(host, port, "pages_disabled")


def _parse_address(variable: str, address: str, example: str) -> tuple[str, int]:
    """Split HOST:PORT. Raises AssayError."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise AssayError(f"{variable}: must be an address with a port, such as {example}, or off")
    return host.strip("[]"), int(port)


def _try_to_listen(host: str, port: int, event: str) -> socket.socket | None:
    """Listen; log `event` if another process, such as an Assay on the same machine, has the port."""
    from bot.cli.server.setup_server import listen

    try:
        return listen(host, port)
    except AssayError as problem:
        log.warning(event, problem=str(problem))
        return None


@dataclass(frozen=True)
class _Servers:
    """The tasks of one process, with what they share."""

    settings: Settings
    registration: Registration
    shutdown: Shutdown
    clock: Clock
    database: Database
    redis_url: str = field(repr=False)

    async def web(self, listening: socket.socket, pages_url: str) -> None:
        """Serve deliveries and health, and the setup page until the App is registered."""
        from bot.jobs.wakeups import Wakeups
        from bot.web_process import create_app

        local_url = _address(listening) or ""
        wakeups = Wakeups(self.redis_url)
        app = create_app(
            database=self.database,
            redis=wakeups,
            clock=self.clock,
            credentials=self.registration,
            on_loopback=False,
            extra_routes=[] if self.registration.credentials else self._setup_routes(local_url),
            pages_url=pages_url,
            trusted_proxies=self.settings.trusted_proxies,
        )
        registered = self.registration.credentials is not None
        log.info("web_server_started", address=local_url, pages=pages_url or None, registered=registered)
        polling = asyncio.create_task(self.registration.wait())
        try:
            await self._listen(app, listening)
        finally:
            polling.cancel()
            await asyncio.wait([polling])
            await wakeups.close()
            if not self.shutdown.requested.is_set():  # a second request would stop the others immediately
                self.shutdown.request()

    async def pages(self, listening: socket.socket) -> None:
        """Serve the pages, which are for people at this machine."""
        from bot.web_process import create_pages_app

        with listening:
            await self._listen(create_pages_app(self.database), listening)

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
        from bot.cli.server.calibration_cache import calibration_source, keep_label_recipe
        from bot.sandbox.protections import PROTECTIONS, try_protections
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
        missing = await asyncio.to_thread(try_protections)
        if missing:
            to_do = "assay doctor tells what this means"
            log.warning("children_are_not_fully_confined", missing=list(missing), to_do=to_do)
        else:
            log.info("children_are_confined", tried=list(PROTECTIONS))
        await keep_label_recipe(self.settings, self.database, self.clock.now())
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
        from bot.web_process import create_metrics_app

        host, port = _parse_address("ASSAY_METRICS_ADDRESS", self.settings.metrics_address, "127.0.0.1:9464")
        token_file = self.settings.metrics_token_file
        token = read_secret(token_file, "ASSAY_METRICS_TOKEN_FILE") if token_file else ""
        if not token and not is_loopback_name(host):
            to_do = "set ASSAY_METRICS_TOKEN_FILE to a file with a bearer token, and give the same to Prometheus"
            log.warning("metrics_for_this_machine_only", address=self.settings.metrics_address, to_do=to_do)
        listening = _try_to_listen(host, port, "metrics_disabled")
        if listening is not None:
            with listening:
                await self._listen(create_metrics_app(self.database, self.clock, token), listening)

    async def _listen(self, app: Starlette, listening: socket.socket) -> None:
        from bot.web_process import make_server

        host, port = listening.getsockname()[:2]
        server = make_server(app, host, port, self.settings.trusted_proxies)
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
        from bot.jobs.wakeups import require_redis_url

        yield require_redis_url(settings.redis_url.get_secret_value())
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
