"""Composition of the web process: webhook receiver, health endpoints and, on the loopback, pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.clock import Clock
from bot.receiver.intake import Announcer, Intake
from bot.receiver.webhook import Receiver
from bot.records import AppCredentials
from bot.store.database import Database
from bot.store.errors import StoreUnavailable
from bot.store.jobs import queue_figures
from bot.store.screenings import verdict_figures
from bot.store.unfinished import count_failed, failing_figures
from bot.web.health import health_routes
from bot.web.loopback import loopback_only
from bot.web.metrics_endpoint import DatabaseMetrics, metrics_app
from bot.web.peers import Network

if TYPE_CHECKING:
    import uvicorn

SHUTDOWN_S: Final = 10  # for requests in progress
KEEP_ALIVE_S: Final = 30


class Redis(Announcer, Protocol):
    """The parts of Redis that the web process needs."""

    async def ping(self) -> bool: ...


def create_app(
    *,
    database: Database,
    redis: Redis,
    clock: Clock,
    credentials: Callable[[], AppCredentials | None],
    on_loopback: bool,
    extra_routes: Sequence[BaseRoute] = (),
    pages_url: str = "",
    trusted_proxies: Sequence[Network] = (),
) -> Starlette:
    """Return the application.

    `credentials` is called for every delivery, so that a finished setup takes effect without a restart. `on_loopback`:
    the pages are here, because only this machine connects and no proxy does; otherwise they do not exist. `pages_url`:
    they are there, and requests that come from this machine are redirected. `extra_routes` take precedence.
    """
    intake = Intake(database, redis, clock)
    routes = [
        *extra_routes,
        Route("/webhook", Receiver(credentials, intake, trusted_proxies).receive, methods=["POST"]),
        *health_routes({"database": database.ping, "redis": redis.ping}),
        *(_pages(database) if on_loopback else _redirects(pages_url) if pages_url else ()),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await intake.close()

    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={StoreUnavailable: _store_unavailable})


def create_pages_app(database: Database) -> Starlette:
    """Return the application of the pages, for an address of their own."""
    return Starlette(routes=_pages(database), exception_handlers={StoreUnavailable: _store_unavailable})


def create_metrics_app(database: Database, clock: Clock, token: str = "") -> Starlette:
    """Return the metrics application, for a separate address. Only who sends `token` is served from elsewhere."""

    async def read_metrics() -> DatabaseMetrics:
        now = clock.now()
        async with database.read() as connection:
            return DatabaseMetrics(
                queue=await queue_figures(connection, now),
                screens=await verdict_figures(connection),
                failing={
                    figure.kind: (figure.jobs, (now - figure.since).total_seconds())
                    for figure in await failing_figures(connection)
                },
                failed_repositories=await count_failed(connection),
            )

    return metrics_app(read_metrics, token)


def make_server(app: Starlette, host: str, port: int, trusted_proxies: Sequence[Network] = ()) -> uvicorn.Server:
    """Return a server with limits on connections, that logs no requests, whose paths may contain setup codes."""
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    from bot.web.connection_limits import limited

    config = uvicorn.Config(
        app,
        http=limited(AutoHTTPProtocol, trusted_proxies),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return uvicorn.Server(config)


def _pages(database: Database) -> list[Route]:
    from bot.web.page_source import PageSource
    from bot.web.pages import page_routes

    return page_routes(PageSource(database))


def _redirects(pages_url: str) -> list[Route]:
    """Return routes that lead from the receiver's address to the pages', for links and habits.

    Behind a proxy strangers may pass for this machine here. All that they get is an address of their own machine.
    """
    from bot.web.pages import PATHS

    async def redirect(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{pages_url}{request.url.path}{query}")

    return [Route(path, loopback_only(redirect)) for path in PATHS]


async def _store_unavailable(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the database is unavailable: see /readyz\n", 503)
