"""`/metrics` as a separate application, so that it can listen on a separate address."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.metrics import (
    FAILED_REPOSITORIES,
    FAILING_JOBS,
    FAILING_SECONDS,
    QUEUE_AGE_SECONDS,
    QUEUE_JOBS,
    REGISTRY,
    SCREENS,
    STORE_UP,
)
from bot.store.errors import StoreUnavailable
from bot.store.jobs import QueueFigure
from bot.web.peers import parse_address

_SAYS: Final = (
    "Metrics are for this machine, and for who sends the bearer token of ASSAY_METRICS_TOKEN_FILE "
    "(Authorization: Bearer TOKEN).\n"
)


@dataclass(frozen=True, slots=True)
class DatabaseMetrics:
    """Figures read from the database at each scrape."""

    queue: Iterable[QueueFigure] = ()
    screens: Mapping[str, int] = field(default_factory=dict)  # by verdict
    failing: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # by kind: jobs, and seconds of the longest
    failed_repositories: int = 0


def metrics_app(read_metrics: Callable[[], Awaitable[DatabaseMetrics]], token: str = "") -> Starlette:
    """Return the application. If `read_metrics` raises StoreUnavailable, only this process's metrics are exposed.

    With a token, everybody has to send it. Without one only connections from this machine are served.
    """

    async def metrics(request: Request) -> Response:
        if not _may_read(request, token):
            return PlainTextResponse(_SAYS, 401, headers={"WWW-Authenticate": "Bearer"})
        try:
            values = await read_metrics()
        except StoreUnavailable:
            values = None
        _set_gauges(values)
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics)])


def _may_read(request: Request, token: str) -> bool:
    if not token:
        address = parse_address(request.client.host) if request.client else None
        return address is not None and address.is_loopback
    sent = request.headers.get("authorization", "")
    return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())


def _set_gauges(values: DatabaseMetrics | None) -> None:
    """Set the gauges, clearing labels that the database no longer has."""
    STORE_UP.set(values is not None)
    for gauge in (QUEUE_JOBS, QUEUE_AGE_SECONDS, SCREENS, FAILING_JOBS, FAILING_SECONDS):
        gauge.clear()
    if values is None:
        return
    for figure in values.queue:
        QUEUE_JOBS.labels(figure.kind, figure.state).set(figure.jobs)
        QUEUE_AGE_SECONDS.labels(figure.kind, figure.state).set(figure.oldest_s)
    for verdict, count in values.screens.items():
        SCREENS.labels(verdict).set(count)
    for kind, (jobs, seconds) in values.failing.items():
        FAILING_JOBS.labels(kind).set(jobs)
        FAILING_SECONDS.labels(kind).set(seconds)
    FAILED_REPOSITORIES.set(values.failed_repositories)
