"""The pages for whoever sits at this machine: all repositories, one of them, the calibration. No script, no cookie.

Whatever comes from a repository is made inert and escaped by the same environment that writes the reports.
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

from bot.web.loopback import only_from_here
from bot.web.page_source import LINES_A_PAGE, PageSource
from pipeline.reports import numbers
from pipeline.reports.jinja import environment
from pipeline.reports.plots import DensityAxis

LAST_PAGE: Final = 10_000


def page_routes(source: PageSource) -> list[Route]:
    """`source` is asked for each page anew."""

    async def repositories(request: Request) -> Response:
        page = _page_number(request.query_params.get("page", "1"))
        lines, count = await source.lines(page)
        pages = max(1, math.ceil(count / LINES_A_PAGE))
        return _render("repositories.html.j2", lines=lines, count=count, page=page, pages=pages)

    async def repository(request: Request) -> Response:
        line = await source.line(f"{request.path_params['owner']}/{request.path_params['name']}")
        if line is None:
            raise HTTPException(404)
        axis = line.screened.axis if line.screened else None
        return _render("repository.html.j2", line=line, axis=axis, axis_title=_axis_title(axis))

    async def calibration(request: Request) -> Response:
        view = await source.calibration()
        axis = view.axis if view else None
        return _render("calibration.html.j2", view=view, axis=axis, axis_title=_axis_title(axis))

    async def run(request: Request) -> Response:
        raise HTTPException(404)

    pages = {
        "/": repositories,
        "/repos/{owner}/{name}": repository,
        "/calibration": calibration,
        "/runs/{id}": run,
    }
    return [Route(path, only_from_here(page)) for path, page in pages.items()]


def _page_number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 6:
        return min(max(1, int(text)), LAST_PAGE)
    raise HTTPException(404)


def _render(template: str, **values: Any) -> HTMLResponse:
    made = _environment().get_template(template).render(values)
    return HTMLResponse(made.encode("utf-8", "backslashreplace"), headers=_headers())


@cache
def _environment() -> Environment:
    """The environment of the reports with templates of ours beside its own."""
    reports = environment()
    assert isinstance(reports.loader, BaseLoader)
    made = reports.overlay(loader=ChoiceLoader([PackageLoader("bot.web"), reports.loader]))
    made.filters = {**reports.filters, "moment": _moment}
    return made


@cache
def _headers() -> dict[str, str]:
    """Only the one style sheet that stands in the page is let in, by its hash."""
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
