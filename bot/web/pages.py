"""Pages for people at this machine: all repositories, one repository, the calibration. No scripts, no cookies.

Text from repositories is made inert and escaped by the same Jinja environment that renders the reports.
"""

from __future__ import annotations

import base64
import hashlib
import math
from datetime import datetime
from functools import cache
from typing import Any, Final

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bot.web.loopback import loopback_only
from bot.web.page_source import ROWS_PER_PAGE, PageSource
from pipeline.reports import numbers
from pipeline.reports.jinja import environment
from pipeline.reports.plots import DensityAxis

MAX_PAGE: Final = 10_000
PATHS: Final = ("/", "/repos/{owner}/{name}", "/calibration", "/runs/{id}")


def page_routes(source: PageSource) -> list[Route]:
    """Return the routes of the pages, which query `source` on every request."""

    async def repositories(request: Request) -> Response:
        page = _page_number(request.query_params.get("page", "1"))
        rows, count = await source.rows(page)
        pages = max(1, math.ceil(count / ROWS_PER_PAGE))
        return _render("repositories.html.j2", rows=rows, count=count, page=page, pages=pages)

    async def repository(request: Request) -> Response:
        row = await source.row(f"{request.path_params['owner']}/{request.path_params['name']}")
        if row is None:
            raise HTTPException(404)
        axis = row.screening.axis if row.screening else None
        return _render("repository.html.j2", row=row, axis=axis, axis_title=_axis_title(axis))

    async def calibration(request: Request) -> Response:
        view = await source.calibration()
        axis = view.axis if view else None
        return _render("calibration.html.j2", view=view, axis=axis, axis_title=_axis_title(axis))

    async def run(request: Request) -> Response:
        raise HTTPException(404)

    pages = (repositories, repository, calibration, run)
    return [Route(path, loopback_only(page)) for path, page in zip(PATHS, pages, strict=True)]


def _page_number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 6:
        return min(max(1, int(text)), MAX_PAGE)
    raise HTTPException(404)


def _render(template: str, **values: Any) -> HTMLResponse:
    html = _environment().get_template(template).render(values)
    return HTMLResponse(html.encode("utf-8", "backslashreplace"), headers=_headers())


@cache
def _environment() -> Environment:
    """Return the reports' environment with our templates added."""
    reports = environment()
    assert isinstance(reports.loader, BaseLoader)
    env = reports.overlay(loader=ChoiceLoader([PackageLoader("bot.web"), reports.loader]))
    env.filters = {**reports.filters, "moment": _moment}
    return env


@cache
def _headers() -> dict[str, str]:
    """Return headers that allow only the page's inline style sheet, by its hash."""
    style = _environment().get_template("style.css.j2").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = ("default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'")
    return {
        "Content-Security-Policy": "; ".join((*allowed, "frame-ancestors 'none'")),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else ""


def _axis_title(axis: DensityAxis | None) -> str:
    if axis is None:
        return ""
    marks = [row.mark for row in axis.rows]
    winners, losers = (numbers.counted(marks.count(mark), mark) for mark in ("winner", "loser"))
    return f"Repositories by density around the threshold: {winners}, {losers}."
