"""`/metrics`, an application of its own, so that it can have an address of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.metrics import QUEUE_AGE_SECONDS, QUEUE_JOBS, REGISTRY, SCREENS, STORE_UP
from bot.store.errors import StoreUnavailable
from bot.store.jobs import QueueFigure


@dataclass(frozen=True, slots=True)
class Figures:
    """What the database says at a scrape."""

    queue: Iterable[QueueFigure] = ()
    screens: Mapping[str, int] = field(default_factory=dict)  # by verdict


def metrics_app(read_figures: Callable[[], Awaitable[Figures]]) -> Starlette:
    """`read_figures` may raise StoreUnavailable: then the figures of this process are all that is told."""

    async def metrics(request: Request) -> Response:
        try:
            figures = await read_figures()
        except StoreUnavailable:
            figures = None
        _set(figures)
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics)])


def _set(figures: Figures | None) -> None:
    """What the database no longer knows of is gone from the gauges too."""
    STORE_UP.set(figures is not None)
    for gauge in (QUEUE_JOBS, QUEUE_AGE_SECONDS, SCREENS):
        gauge.clear()
    if figures is None:
        return
    for line in figures.queue:
        QUEUE_JOBS.labels(line.kind, line.state).set(line.jobs)
        QUEUE_AGE_SECONDS.labels(line.kind, line.state).set(line.oldest_s)
    for verdict, count in figures.screens.items():
        SCREENS.labels(verdict).set(count)
