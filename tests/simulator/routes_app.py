"""Operations on Apps, their deliveries and installations, and public operations."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.simulator import responses
from tests.simulator.apps import Installation
from tests.simulator.messages import Call, Refused, Response
from tests.simulator.webhooks import Delivery

_NOT_FOUND = "Not Found"


def get_app(call: Call) -> Response:
    return Response(200, {**responses.app(call.app), "installations_count": len(call.app.installations)})


def get_hook(call: Call) -> Response:
    shown = {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": call.app.webhook_url}
    return Response(200, shown)


def list_installations(call: Call) -> Response:
    found = call.app.installations
    shown = [responses.installation(each) for each in call.page(found)]
    return Response(200, shown, paging(call, "/app/installations", len(found)))


def get_installation(call: Call) -> Response:
    return Response(200, responses.installation(_installation(call)))


def get_repository_installation(call: Call) -> Response:
    for installation in call.app.installations:
        if installation.has(call.repository):
            return Response(200, responses.installation(installation))
    raise Refused(404, _NOT_FOUND)


def create_token(call: Call) -> Response:
    wanted = call.body or {}
    installation = _installation(call)
    ids = None
    if "repository_ids" in wanted or "repositories" in wanted:
        by_name = {repo.name.lower(): repo.repository_id for repo in installation.repositories}
        named = [by_name.get(name.lower(), -1) for name in wanted.get("repositories", [])]
        ids = frozenset([*wanted.get("repository_ids", []), *named])
    token = call.github.mint(installation, wanted.get("permissions"), ids)
    return Response(201, responses.token(token))


def list_deliveries(call: Call) -> Response:
    """List newest first; a cursor names the first delivery of a page."""
    kept = call.github.webhooks.kept(call.app)
    if "status" in call.query:
        kept = [each for each in kept if each.was_taken == (call.query["status"] == "success")]
    if cursor := call.query.get("cursor"):
        first = cursor.removeprefix("v1_")
        if not first.isdecimal():
            raise Refused(400, "Invalid cursor")
        kept = [each for each in kept if each.delivery_id <= int(first)]
    page, rest = kept[: call.per_page], kept[call.per_page :]
    headers = {}
    if rest:
        query = urlencode({**call.query, "per_page": call.per_page, "cursor": f"v1_{rest[0].delivery_id}"})
        headers["link"] = f'<{call.github.api_url}/app/hook/deliveries?{query}>; rel="next"'
    return Response(200, [responses.delivery(each) for each in page], headers)


def get_delivery(call: Call) -> Response:
    return Response(200, responses.delivery(_delivery(call), whole=True))


def redeliver(call: Call) -> Response:
    call.github.webhooks.redeliver(_delivery(call))
    return Response(202, {})


def convert_manifest(call: Call) -> Response:
    """Return the secrets of an App registered from a manifest, for a code that works once."""
    app = call.github.take_manifest_code(call.values["code"])
    if app is None:
        raise Refused(404, _NOT_FOUND)
    secrets = {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret,
        "pem": app.private_key,
    }
    return Response(201, {**responses.app(app), **secrets})


def get_rate_limit(call: Call) -> Response:
    limits = call.github.limits
    if limits.primary is None:
        raise Refused(404, "Rate limiting is not enabled.")
    installation_id = 0 if call.actor.installation is None else call.actor.installation.installation_id
    headers = limits.headers(installation_id)
    parts = ("limit", "used", "remaining", "reset")
    core = {name: int(headers[f"x-ratelimit-{name}"]) for name in parts}
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
    return Response(200, {"resources": {"core": core, "search": search}, "rate": core})


def get_user(call: Call) -> Response:
    account = call.github.accounts.get(call.values["username"].lower())
    if account is None:
        raise Refused(404, _NOT_FOUND)
    return Response(200, responses.public_user(account))


def get_account(call: Call) -> Response:
    number = int(call.values["account_id"])
    account = next((each for each in call.github.accounts.values() if each.account_id == number), None)
    if account is None:
        raise Refused(404, _NOT_FOUND)
    return Response(200, responses.public_user(account))


def paging(call: Call, path: str, count: int) -> dict[str, str]:
    """Return the Link header for the pages of a list."""
    page, size = int(call.query.get("page", 1)), call.per_page
    last = max(1, -(-count // size))
    if last == 1:
        return {}
    to: dict[str, int] = {"next": page + 1, "last": last} if page < last else {"prev": page - 1, "first": 1}

    def link(relation: str, number: int) -> str:
        query: dict[str, Any] = {**call.query, "per_page": size, "page": number}
        return f'<{call.github.api_url}{path}?{urlencode(query)}>; rel="{relation}"'

    return {"link": ", ".join(link(relation, number) for relation, number in to.items())}


def _installation(call: Call) -> Installation:
    found = call.github.installations.get(int(call.values["installation_id"]))
    if found is None or found.app is not call.app:
        raise Refused(404, _NOT_FOUND)
    return found


def _delivery(call: Call) -> Delivery:
    number = int(call.values["delivery_id"])
    found = next((each for each in call.github.webhooks.kept(call.app) if each.delivery_id == number), None)
    if found is None:
        raise Refused(404, _NOT_FOUND)
    return found
