"""Pages for a browser: registering an App from a manifest, installing it, and check runs.

POST /settings/apps/new and /organizations/ORG/settings/apps/new     a form's `manifest` -> a page with a button
POST .../settings/apps                                                    the button -> 302 to redirect_url?code&state
GET /apps/SLUG/installations/new, POST /apps/SLUG/installations           choose an account -> installed
GET /demo, GET /OWNER/NAME/runs                                           check runs, as GitHub renders them
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.simulator.apps import EVENT_PERMISSIONS, LEVELS, App
from tests.simulator.messages import Request, Response
from tests.simulator.run_page import page, runs_page

if TYPE_CHECKING:
    from tests.simulator.github import GitHub

CODE_LIFETIME = timedelta(hours=1)
_MAX_NAME_CHARS = 34  # characters; GitHub's own limit


@dataclass
class Registrations:
    """Manifests waiting for confirmation, and codes, which work once and within an hour."""

    waiting: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)  # ticket -> manifest, state
    codes: dict[str, tuple[App, datetime]] = field(default_factory=dict)

    def take(self, code: str, now: datetime) -> App | None:
        app, made_at = self.codes.pop(code, (None, now))
        return app if now - made_at < CODE_LIFETIME else None


def handle_page(github: GitHub, request: Request) -> Response:
    """Return the page, or a 404."""
    for method, pattern, handler in _PAGES:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            return handler(github, request, match.groupdict())
    return _html(404, "Not Found", "<p>There is no such page.</p>")


def manifest_problems(manifest: object, allow_loopback: bool) -> list[str]:
    """Return the problems for which GitHub would reject a manifest, one sentence each."""
    if not isinstance(manifest, dict):
        return ["the manifest is no JSON object"]
    problems = [f"{key} is missing" for key in ("url", "redirect_url") if not manifest.get(key)]
    if len(manifest.get("name") or "") > _MAX_NAME_CHARS:
        problems.append(f"name is too long (maximum is {_MAX_NAME_CHARS} characters)")
    hook = manifest.get("hook_attributes")
    if hook is not None and not (isinstance(hook, dict) and hook.get("url")):
        problems.append("hook_attributes need a url")
    elif hook is not None and not allow_loopback and not _is_public(hook["url"]):
        problems.append("Hook url is not supported because it isn't reachable over the public Internet")
    for key in ("url", "redirect_url", "setup_url"):
        if manifest.get(key) and urlsplit(str(manifest[key])).scheme not in ("http", "https"):
            problems.append(f"{key} is not a URL")
    permissions = manifest.get("default_permissions", {})
    if not isinstance(permissions, dict) or any(level not in LEVELS for level in permissions.values()):
        problems.append("default_permissions are not included in the list")
    events, readable = manifest.get("default_events", []), permissions if isinstance(permissions, dict) else {}
    problems += [f"Default events unsupported: {event}" for event in events if not _may_have(event, readable)]
    return problems


def _may_have(event: str, permissions: Mapping[str, str]) -> bool:
    return any(name == "metadata" or name in permissions for name in EVENT_PERMISSIONS.get(event, ()))


def _is_public(url: str) -> bool:
    host = urlsplit(str(url)).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))


def _new_app_form(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    """Render GitHub's confirmation page, with a field for the name."""
    form, query = _form(request), dict(parse_qsl(request.query))
    try:
        manifest = json.loads(form.get("manifest", ""))
    except ValueError:
        manifest = None
    problems = manifest_problems(manifest, github.allow_loopback or github.description.is_enterprise)
    if problems:
        listed = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
        return _html(422, "Invalid GitHub App configuration", f"<ul>{listed}</ul>")
    ticket = secrets.token_hex(8)
    github.registrations.waiting[ticket] = manifest, query.get("state", "")
    owner = values.get("org") or "octocat"
    name = manifest.get("name") or ""
    action = f"/organizations/{owner}/settings/apps" if values.get("org") else "/settings/apps"
    body = (
        f'<form method="post" action="{escape(action)}"><input type="hidden" name="ticket" value="{ticket}">'
        f'<label>GitHub App name <input name="name" maxlength="{_MAX_NAME_CHARS}" value="{escape(name)}"></label> '
        f"<button>Create GitHub App for {escape(owner)}</button></form>"
    )
    return _html(200, "Create GitHub App", body)


def _create_app(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    form = _form(request)
    manifest, state = github.registrations.waiting.pop(form.get("ticket", ""), (None, ""))
    if manifest is None:
        return _html(404, "Not Found", "<p>Start over from the App's own page.</p>")
    name = (form.get("name") or manifest.get("name") or "").strip()[:_MAX_NAME_CHARS]
    taken = {app.name.lower() for app in github.apps.values()}
    if not name or name.lower() in taken:
        return _html(422, "Invalid GitHub App configuration", "<p>Name is already taken or missing.</p>")
    organization = values.get("org")
    app = github.register_app(
        (manifest.get("hook_attributes") or {}).get("url", ""),
        manifest.get("default_permissions", {}),
        manifest.get("default_events", ()),
        name=name,
        owner=github.account(organization, "Organization") if organization else "octocat",
        public=bool(manifest.get("public", False)),
    )
    code = secrets.token_hex(20)
    github.registrations.codes[code] = app, github.clock.now()
    query = {"code": code, **({"state": state} if state else {})}
    to = manifest["redirect_url"]
    return Response(302, b"", {"location": f"{to}{'&' if '?' in to else '?'}{urlencode(query)}"})


def _install_form(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    app = _app(github, values)
    if app is None:
        return _html(404, "Not Found", "<p>There is no such App.</p>")
    mine = [each for each in github.accounts.values() if each.type != "Bot" and (app.public or each is app.owner)]
    owners = {repo.owner for repo in github.repositories.values()}
    mine.sort(key=lambda each: each not in owners)
    options = "".join(f"<option>{escape(each.login)}</option>" for each in mine)
    body = (
        f'<form method="post" action="/apps/{escape(app.slug)}/installations"><p>On all repositories of '
        f'<select name="account">{options}</select> <button>Install</button></p></form>'
    )
    return _html(200, f"Install {app.name}", body)


def _install(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    app, account = _app(github, values), github.accounts.get(_form(request).get("account", "").lower())
    if app is None or account is None:
        return _html(404, "Not Found", "<p>There is no such App or account.</p>")
    installation = next((each for each in app.installations if each.account is account), None)
    if installation is None:
        installation = app.install(account)
    path = f"/organizations/{account.login}/settings/installations/{installation.installation_id}"
    return Response(302, b"", {"location": github.url + path})


def _installed(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    return _html(200, "Installed", '<p>Its check runs show on <a href="/demo">the demo page</a>.</p>')


def _runs(github: GitHub, request: Request, values: Mapping[str, str | None]) -> Response:
    """Render the check runs of one repository, or of all."""
    if values.get("owner"):
        repo, is_old_name = github.look_up(values["owner"] or "", values["name"] or "")
        if repo is None or is_old_name:
            return _html(404, "Not Found", "<p>There is no such repository.</p>")
        return _page(200, runs_page([repo]))
    return _page(200, runs_page(list(github.repositories.values())))


def _app(github: GitHub, values: Mapping[str, str | None]) -> App | None:
    return next((app for app in github.apps.values() if app.slug == values["slug"]), None)


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _html(status: int, title: str, body: str) -> Response:
    return _page(status, page(title, body))


def _page(status: int, text: str) -> Response:
    return Response(status, text.encode(), {"content-type": "text/html; charset=utf-8"})


Handler = Callable[["GitHub", Request, Mapping[str, "str | None"]], Response]
_CREATE = r"(?:/organizations/(?P<org>[^/]+))?/settings/apps"
_NEW = _CREATE + "/new"
_PAGES: list[tuple[str, re.Pattern[str], Handler]] = [
    ("GET", re.compile(r"/demo"), _runs),
    ("GET", re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+)/runs(?:/\d+)?"), _runs),
    ("POST", re.compile(_NEW), _new_app_form),
    ("POST", re.compile(_CREATE), _create_app),
    ("GET", re.compile(r"/apps/(?P<slug>[^/]+)/installations/new"), _install_form),
    ("POST", re.compile(r"/apps/(?P<slug>[^/]+)/installations"), _install),
    ("GET", re.compile(r"/organizations/[^/]+/settings/installations/\d+"), _installed),
]
