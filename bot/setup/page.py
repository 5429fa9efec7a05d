"""The setup page: choose what the App may do, register it on GitHub, and come back with its credentials.

    GET  /setup?token=...          the choice: whose App, what it may do, its name
    POST /setup?token=...          the choice made: a form that carries the manifest to GitHub
    GET  /setup/callback?code&state   GitHub's answer: the credentials are stored, and the App goes on with them

From then on, and to whoever does not hold the token, all of it answers 404. It works without JavaScript.
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
    LACKS,
    LONGEST_NAME,
    PURPOSES,
    Registration,
    app_address,
    form_address,
    install_address,
    manifest,
    parse_registration,
    why_unreachable,
)
from pipeline.records import AssayError
from pipeline.reports.escape import inert

MOST_FORM_BYTES = 8_192
MOST_FIELDS = 20
UNCHANGED = {"owner": "account", "organization": "", "subset": SUBSETS[0], "name": ""}


@dataclass
class SetupState:
    """What the page works with, for as long as there are no credentials."""

    base_url: str  # where GitHub and the person's browser reach this server
    github_url: str
    register: Callable[[str], Awaitable[AppCredentials]]  # GitHub's code -> credentials, stored; raises AssayError
    on_registered: Callable[[AppCredentials], None]
    afterwards: str  # one sentence: what happens, or is to be done, once it is registered
    seconds: Callable[[], float] = time.monotonic
    is_known: Callable[[], bool] = lambda: False  # has another process registered the App meanwhile?
    registered: bool = False
    guard: SetupGuard = field(init=False, repr=False)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)  # one answer of GitHub's at a time

    def __post_init__(self) -> None:
        self.guard = SetupGuard(self.seconds)

    @property
    def is_over(self) -> bool:
        return self.registered or self.is_known()

    @property
    def path(self) -> str:
        """What is to be opened, to be printed on the console and nowhere else."""
        return f"/setup?token={self.guard.token}"


def setup_routes(state: SetupState) -> list[Route]:
    """Every path of the setup page. Other methods than it knows answer 404 too, so the routes take all of them."""
    return [Route("/setup", _Endpoint(state, _choice)), Route("/setup/callback", _Endpoint(state, _callback))]


def setup_app(state: SetupState) -> Starlette:
    """An application of the setup page alone."""
    return Starlette(routes=setup_routes(state))


class _Endpoint:
    """An ASGI application for one path that is there only while nothing is registered."""

    def __init__(self, state: SetupState, answer: Callable[[SetupState, Request], Awaitable[Response]]) -> None:
        self._state = state
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._state.is_over:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await self._answer(self._state, Request(scope, receive))
        response.headers.update(_headers(self._state.github_url))
        await response(scope, receive, send)


async def _choice(state: SetupState, request: Request) -> Response:
    if request.method not in ("GET", "HEAD", "POST") or not state.guard.admits(request.query_params.get("token", "")):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if request.method != "POST":
        return _choose(state, {"name": f"Assay {secrets.token_hex(3)}"})  # App names are unique on a GitHub
    fields: dict[str, str] = {}
    try:
        fields = await _fields(request)
        registration = parse_registration(fields)
    except AssayError as error:
        return _choose(state, fields, wrong=str(error), status=HTTPStatus.BAD_REQUEST)
    return _confirm(state, registration)


async def _callback(state: SetupState, request: Request) -> Response:
    asked = request.query_params
    async with state.turn:
        if request.method != "GET" or state.is_over or not state.guard.redeem(asked.get("state", "")):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            credentials = await state.register(asked.get("code", ""))
        except AssayError as error:
            return _page("setup_failed.html", HTTPStatus.BAD_GATEWAY, why=str(error))
        state.registered = True
    state.on_registered(credentials)
    return _done(state, credentials)


def _choose(
    state: SetupState, fields: Mapping[str, str], wrong: str = "", status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """The form, with what was chosen already."""
    subsets = [
        {"name": subset, "purpose": PURPOSES[subset], "permissions": permissions_of(subset), "lacks": LACKS[subset]}
        for subset in SUBSETS
    ]
    return _page(
        "setup_choose.html",
        status,
        chosen=UNCHANGED | {name: fields[name] for name in UNCHANGED if name in fields},
        wrong=wrong,
        subsets=subsets,
        longest_name=LONGEST_NAME,
        github_host=urlsplit(state.github_url).netloc,
        unreachable=why_unreachable(state.base_url, state.github_url),
    )


def _confirm(state: SetupState, registration: Registration) -> Response:
    """The form that carries the manifest to GitHub; none is shown where GitHub would refuse it."""
    unreachable = why_unreachable(state.base_url, state.github_url)
    made = manifest(registration, state.base_url)
    address = (
        "" if unreachable else form_address(state.github_url, registration.organization, state.guard.hand_out_state())
    )
    return _page(
        "setup_confirm.html",
        registration=registration,
        permissions=permissions_of(registration.subset),
        manifest=made,
        manifest_json=json.dumps(made),
        address=address,
        github_host=urlsplit(state.github_url).netloc,
        unreachable=unreachable,
    )


def _done(state: SetupState, credentials: AppCredentials) -> Response:
    try:
        app_url = app_address(state.github_url, credentials.slug)
        install_url = install_address(state.github_url, credentials.slug)
    except AssayError:
        app_url = install_url = ""
    return _page(
        "setup_done.html",
        app_id=credentials.app_id,
        app_url=app_url,
        install_url=install_url,
        afterwards=state.afterwards,
    )


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form. Raises AssayError where it is no form that a browser would send from the page."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise AssayError("Use the form.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise AssayError("That is more than the form holds.")
    try:
        return dict(parse_qsl(body.decode(), errors="strict", max_num_fields=MOST_FIELDS, keep_blank_values=True))
    except ValueError:
        raise AssayError("Use the form.") from None


def _page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(style=_style(), **values), status_code=status)


def _headers(github_url: str) -> dict[str, str]:
    """No script, nothing from elsewhere, no frame, no cache, no trace of the address; forms go here or to GitHub."""
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
        finalize=lambda value: inert(value, longest=4_000) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    source, _, _ = PackageLoader("bot.setup").get_source(_templates(), "setup.css")
    return source
