"""Handle an API request: authenticate, route, authorize, count towards limits, then execute.

1. identify the sender (401, 403 suspended)   2. find the operation (404)   3. check repository access (301, 403, 404)
4. rate limits (403)   5. validate the request (422)   6. call the handler   7. validate the response
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.simulator.description import Operation
from tests.simulator.messages import Actor, Call, InvalidRequest, Refused, Request, Response
from tests.simulator.repositories import Repository
from tests.simulator.routes import ROUTES, Route
from tests.simulator.tokens import identify

if TYPE_CHECKING:
    from tests.simulator.github import GitHub

_NOT_FOUND, _FORBIDDEN = "Not Found", "Resource not accessible by integration"
_BY_ID = re.compile(r"/repositories/(\d+)(/.*|$)")
_VERSIONS = {"2022-11-28", "2026-03-10"}
# Answers that GitHub may give to anything, whether or not the description of an operation says so.
_ANYWHERE = {301, 307, 400, 401, 403, 404, 409, 422}
_WRITE_POINTS, _READ_POINTS = 5, 1


def handle_api(github: GitHub, request: Request) -> tuple[Response, Actor]:
    """Return the response, validated against the description, and the sender. `request.path` excludes `/api/v3`."""
    actor, operation = Actor(), None
    try:
        if not request.headers.get("user-agent"):
            raise InvalidRequest(403, "Request forbidden by administrative rules. A User-Agent header is required.")
        _check_version(github, request)
        actor = identify(github, request.headers)
        path = _with_name(github, request.path)
        found = github.description.find(request.method, path)
        if found is None:
            raise InvalidRequest(404, _NOT_FOUND)
        operation, values = found
        response = _execute(github, request, actor, operation, values)
    except Refused as refusal:
        response = refusal.response
        if isinstance(refusal, InvalidRequest):
            github.violate(f"{request.method} {request.path}: {refusal}")
    _check_response(github, request, operation, response)
    return response, actor


def headers_of(github: GitHub, actor: Actor, response: Response) -> dict[str, str]:
    """Return the headers common to all API responses."""
    installation = actor.installation
    limits = {} if installation is None else github.limits.headers(installation.installation_id)
    always = {"x-github-media-type": "github.v3; format=json", "x-github-request-id": github.request_id()}
    if isinstance(response.body, (dict, list)):
        always["content-type"] = "application/json; charset=utf-8"
    if github.description.is_enterprise:
        always["x-github-enterprise-version"] = github.enterprise_version
    return {**always, **limits, **response.headers}


def _execute(github: GitHub, request: Request, actor: Actor, operation: Operation, values: dict[str, str]) -> Response:
    route = ROUTES[operation.name]
    _check_who(route, actor)
    if actor.installation is not None:
        points = _READ_POINTS if request.method == "GET" else _WRITE_POINTS
        github.limits.enter(actor.installation.installation_id, points, route.writes)
    target = None
    if "{owner}" in operation.template:
        target = _repository(github, request, actor, route, values)
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    body = _json(request)
    problems = operation.request_problems(values, query, body)
    if problems:
        github.violate(f"{operation.name} is not described so: {'; '.join(problems)}")
        raise Refused(422, "Invalid request.\n\n" + "\n".join(problems), errors=[])
    return route.handler(Call(github, actor, values, query, body, request.headers.get("accept", ""), target))


def _check_version(github: GitHub, request: Request) -> None:
    version = request.headers.get("x-github-api-version", "2022-11-28")
    known = {"2022-11-28"} if github.description.is_enterprise else _VERSIONS
    if version not in known:
        raise InvalidRequest(400, f"The version {version} is not supported")


def _check_who(route: Route, actor: Actor) -> None:
    if route.who == "app" and actor.app is None:
        raise Refused(401, "A JSON web token could not be decoded")
    if route.who == "installation" and actor.installation is None:
        raise Refused(401, "Requires authentication" if actor.app is None else "Bad credentials")


def _with_name(github: GitHub, path: str) -> str:
    """Translate `/repositories/ID/...`, to which GitHub redirects, to the documented path."""
    match = _BY_ID.fullmatch(path)
    if match is None:
        return path
    repo = github.repositories.get(int(match[1]))
    if repo is None:
        raise Refused(404, _NOT_FOUND)
    return f"/repos/{repo.full_name}{match[2]}"


def _repository(github: GitHub, request: Request, actor: Actor, route: Route, values: dict[str, str]) -> Repository:
    """Look up the repository. Raises Refused: 404 if hidden from the token, 403 if forbidden, 301 for an old name."""
    repo, is_old_name = github.look_up(values["owner"], values["repo"])
    if repo is None:
        raise Refused(404, _NOT_FOUND)
    if actor.token is not None:
        _check_reach(repo, actor, route, request.method)
    elif repo.private and not any(each.has(repo) for each in (actor.app.installations if actor.app else [])):
        raise Refused(404, _NOT_FOUND)
    if is_old_name:
        rest = request.path.split("/", 4)[4:]
        to = "/".join([f"{github.api_url}/repositories/{repo.repository_id}", *rest])
        to = f"{to}?{request.query}" if request.query else to
        code = 301 if request.method == "GET" else 307
        message = "Moved Permanently" if code == 301 else "Temporary Redirect"
        raise Refused(code, message, headers={"location": to}, more={"url": to})
    if repo.archived and request.method != "GET":
        raise Refused(403, "Repository was archived so is read-only.")
    if repo.disabled and route.permissions != ("metadata",):
        raise Refused(403, "Repository access blocked")
    return repo


def _check_reach(repo: Repository, actor: Actor, route: Route, method: str) -> None:
    token = actor.token
    assert token is not None
    if not token.reaches(repo):
        if repo.private:
            raise Refused(404, _NOT_FOUND)
        if method != "GET" or not set(route.permissions) <= {"metadata", "contents"}:
            raise Refused(403, _FORBIDDEN)
    elif not any(token.allows(permission, route.level) for permission in route.permissions):
        accepted = "; ".join(f"{permission}={route.level}" for permission in route.permissions)
        raise Refused(403, _FORBIDDEN, headers={"x-accepted-github-permissions": accepted})


def _json(request: Request) -> Any:
    if not request.body:
        return None
    try:
        return json.loads(request.body)
    except ValueError:
        raise InvalidRequest(400, "Problems parsing JSON") from None


def _check_response(github: GitHub, request: Request, operation: Operation | None, response: Response) -> None:
    """Record a violation for a response that GitHub would not send."""
    if operation is None or isinstance(response.body, bytes):
        return
    if response.status not in operation.statuses:
        if response.status not in _ANYWHERE:
            github.violate(f"the simulator answered {request.method} {request.path} with {response.status}")
        return
    for problem in operation.response_problems(response.status, response.body):
        github.violate(f"the simulator answered {operation.name} wrongly: {problem}")
