"""The setup page: choose the App's permissions, register it on GitHub, and return with its credentials.

    GET  /setup?token=...             choose the owner, the permissions and the name
    POST /setup?token=...             confirm: a form that posts the manifest to GitHub
    GET  /setup/callback?code&state   GitHub redirects here: store the credentials and start using them

Afterwards, and always without the token, every path returns 404. Works without JavaScript.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.receiver.dispatch import SUBSETS, permissions_of
from bot.records import AppCredentials
from bot.setup.guard import SetupGuard
from bot.setup.manifest import (
    LIMITATIONS,
    MAX_NAME_CHARS,
    PURPOSES,
    Registration,
    app_page_url,
    install_page_url,
    manifest,
    parse_registration,
    registration_url,
    unreachable_reason,
)
from pipeline.records import AssayError
from pipeline.reports.escape import inert

MAX_FORM_BYTES = 8_192
MAX_FIELDS = 20
DEFAULT_FIELDS = {"owner": "account", "organization": "", "subset": SUBSETS[0], "name": ""}


@dataclass
class SetupState:
    """The state of the setup page until there are credentials."""

    base_url: str  # of this server, as GitHub and the person's browser reach it
    github_url: str
    # Exchanges GitHub's code for credentials and stores them. Raises AssayError.
    register: Callable[[str], Awaitable[AppCredentials]]
    on_registered: Callable[[AppCredentials], None]
    next_step: str  # one sentence: what happens, or what to do, after registration
    seconds: Callable[[], float] = time.monotonic
    is_registered_elsewhere: Callable[[], bool] = lambda: False  # by another process, in the meantime
    is_registered: bool = False
    guard: SetupGuard = field(init=False, repr=False)
    callback_lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def __post_init__(self) -> None:
        self.guard = SetupGuard(self.seconds)

    @property
    def is_over(self) -> bool:
        return self.is_registered or self.is_registered_elsewhere()

    @property
    def path(self) -> str:
        """The page's secret path. Print it on the console and nowhere else."""
        return f"/setup?token={self.guard.token}"


def setup_routes(state: SetupState) -> list[Route]:
    """Return the setup page's routes, which accept every method in order to return 404 for unknown ones."""
    return [Route("/setup", _Endpoint(state, _show_choices)), Route("/setup/callback", _Endpoint(state, _callback))]


def setup_app(state: SetupState) -> Starlette:
    """Return an application that serves only the setup page."""
    return Starlette(routes=setup_routes(state))


class _Endpoint:
    """An ASGI application for one path that exists only until the App is registered."""

    def __init__(self, state: SetupState, handler: Callable[[SetupState, Request], Awaitable[Response]]) -> None:
        self._state = state
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._state.is_over:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await self._handler(self._state, Request(scope, receive))
        response.headers.update(_headers(self._state.github_url))
        await response(scope, receive, send)


async def _show_choices(state: SetupState, request: Request) -> Response:
    if request.method not in ("GET", "HEAD", "POST") or not state.guard.admits(request.query_params.get("token", "")):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if request.method != "POST":
        return _render_choices(state, {"name": f"Assay {secrets.token_hex(3)}"})  # App names are unique on a GitHub
    fields: dict[str, str] = {}
    try:
        fields = await _parse_form(request)
        registration = parse_registration(fields)
    except AssayError as error:
        return _render_choices(state, fields, error=str(error), status=HTTPStatus.BAD_REQUEST)
    return _render_confirmation(state, registration)


async def _callback(state: SetupState, request: Request) -> Response:
    query = request.query_params
    async with state.callback_lock:
        if request.method != "GET" or state.is_over or not state.guard.redeem(query.get("state", "")):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            credentials = await state.register(query.get("code", ""))
        except AssayError as error:
            return _page("setup_failed.html", HTTPStatus.BAD_GATEWAY, why=str(error))
        state.is_registered = True
    state.on_registered(credentials)
    return _render_done(state, credentials)


def _render_choices(
    state: SetupState, fields: Mapping[str, str], error: str = "", status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """Render the form, keeping earlier choices."""
    subsets = [
        {
            "name": subset,
            "purpose": PURPOSES[subset],
            "permissions": permissions_of(subset),
            "limitations": LIMITATIONS[subset],
        }
        for subset in SUBSETS
    ]
    return _page(
        "setup_choose.html",
        status,
        chosen=DEFAULT_FIELDS | {name: fields[name] for name in DEFAULT_FIELDS if name in fields},
        error=error,
        subsets=subsets,
        max_name_chars=MAX_NAME_CHARS,
        github_host=urlsplit(state.github_url).netloc,
        unreachable=unreachable_reason(state.base_url, state.github_url),
    )


def _render_confirmation(state: SetupState, registration: Registration) -> Response:
    """Render the form that posts the manifest to GitHub, unless GitHub would reject it."""
    unreachable = unreachable_reason(state.base_url, state.github_url)
    app_manifest = manifest(registration, state.base_url)
    address = (
        "" if unreachable else registration_url(state.github_url, registration.organization, state.guard.issue_state())
    )
    return _page(
        "setup_confirm.html",
        registration=registration,
        permissions=permissions_of(registration.subset),
        manifest=app_manifest,
        manifest_json=json.dumps(app_manifest),
        address=address,
        github_host=urlsplit(state.github_url).netloc,
        unreachable=unreachable,
    )


def _render_done(state: SetupState, credentials: AppCredentials) -> Response:
    try:
        app_url = app_page_url(state.github_url, credentials.slug)
        install_url = install_page_url(state.github_url, credentials.slug)
    except AssayError:
        app_url = install_url = ""
    return _page(
        "setup_done.html",
        app_id=credentials.app_id,
        app_url=app_url,
        install_url=install_url,
        next_step=state.next_step,
    )


async def _parse_form(request: Request) -> dict[str, str]:
    """Parse a form body. Raises AssayError for anything that a browser would not send from the page."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise AssayError("Use the form on this page.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise AssayError("The form is too large.")
    try:
        return dict(parse_qsl(body.decode(), errors="strict", max_num_fields=MAX_FIELDS, keep_blank_values=True))
    except ValueError:
        raise AssayError("Use the form on this page.") from None


def _page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(style=_style(), **values), status_code=status)


def _headers(github_url: str) -> dict[str, str]:
    """Return headers that forbid scripts, other origins, framing, caching and referrers; forms go here or to GitHub."""
    parts = urlsplit(github_url)
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        f"form-action 'self' {parts.scheme}://{parts.netloc}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("bot.setup"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: inert(value, max_length=4_000) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    source, _, _ = PackageLoader("bot.setup").get_source(_templates(), "setup.css")
    return source
