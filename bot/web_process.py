"""Composition of the web process: webhook receiver, health endpoints and, on the loopback, pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
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
from bot.web.metrics_endpoint import DatabaseMetrics, metrics_app

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
) -> Starlette:
    """Return the application.

    `credentials` is called for every delivery, so that a finished setup takes effect without a restart. `on_loopback`:
    the server listens on the loopback only, so pages may be shown; otherwise they do not exist. `extra_routes` take
    precedence.
    """
    intake = Intake(database, redis, clock)
    routes = [
        *extra_routes,
        Route("/webhook", Receiver(credentials, intake).receive, methods=["POST"]),
        *health_routes({"database": database.ping, "redis": redis.ping}),
        *(_pages(database) if on_loopback else ()),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await intake.close()

    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={StoreUnavailable: _store_unavailable})


def create_metrics_app(database: Database, clock: Clock) -> Starlette:
    """Return the metrics application, for a separate address."""

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

    return metrics_app(read_metrics)


def make_server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """Return a server that uses our logging and logs no requests, whose paths may contain setup codes."""
    import uvicorn

    config = uvicorn.Config(
        app,
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


async def _store_unavailable(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the database is unavailable: see /readyz\n", 503)
