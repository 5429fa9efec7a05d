"""What an App asks about itself, its deliveries and its installations, and what anybody may ask."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.simulator import answers
from tests.simulator.apps import Installation
from tests.simulator.messages import Answer, Call, Refused
from tests.simulator.webhooks import Delivery

_NOT_FOUND = "Not Found"


def show_app(call: Call) -> Answer:
    return Answer(200, {**answers.app(call.app), "installations_count": len(call.app.installations)})


def show_hook(call: Call) -> Answer:
    shown = {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": call.app.webhook_url}
    return Answer(200, shown)


def list_installations(call: Call) -> Answer:
    found = call.app.installations
    shown = [answers.installation(each) for each in call.page(found)]
    return Answer(200, shown, paging(call, "/app/installations", len(found)))


def show_installation(call: Call) -> Answer:
    return Answer(200, answers.installation(_installation(call)))


def show_repository_installation(call: Call) -> Answer:
    for installation in call.app.installations:
        if installation.has(call.repository):
            return Answer(200, answers.installation(installation))
    raise Refused(404, _NOT_FOUND)


def make_token(call: Call) -> Answer:
    wanted = call.body or {}
    installation = _installation(call)
    ids = None
    if "repository_ids" in wanted or "repositories" in wanted:
        by_name = {repo.name.lower(): repo.repository_id for repo in installation.repositories}
        named = [by_name.get(name.lower(), -1) for name in wanted.get("repositories", [])]
        ids = frozenset([*wanted.get("repository_ids", []), *named])
    token = call.github.mint(installation, wanted.get("permissions"), ids)
    return Answer(201, answers.token(token))


def list_deliveries(call: Call) -> Answer:
    """Newest first; a cursor names the delivery that a page begins with."""
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
    return Answer(200, [answers.delivery(each) for each in page], headers)


def show_delivery(call: Call) -> Answer:
    return Answer(200, answers.delivery(_delivery(call), whole=True))


def redeliver(call: Call) -> Answer:
    call.github.webhooks.redeliver(_delivery(call))
    return Answer(202, {})


def convert_manifest(call: Call) -> Answer:
    """The secrets of an App that was registered from a manifest, for a code that works once."""
    app = call.github.take_manifest_code(call.values["code"])
    if app is None:
        raise Refused(404, _NOT_FOUND)
    secrets = {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret,
        "pem": app.private_key,
    }
    return Answer(201, {**answers.app(app), **secrets})


def show_rate_limit(call: Call) -> Answer:
    limits = call.github.limits
    if limits.primary is None:
        raise Refused(404, "Rate limiting is not enabled.")
    installation_id = 0 if call.actor.installation is None else call.actor.installation.installation_id
    headers = limits.headers(installation_id)
    parts = ("limit", "used", "remaining", "reset")
    core = {name: int(headers[f"x-ratelimit-{name}"]) for name in parts}
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
    return Answer(200, {"resources": {"core": core, "search": search}, "rate": core})


def show_user(call: Call) -> Answer:
    account = call.github.accounts.get(call.values["username"].lower())
    if account is None:
        raise Refused(404, _NOT_FOUND)
    return Answer(200, answers.public_user(account))


def show_account(call: Call) -> Answer:
    number = int(call.values["account_id"])
    account = next((each for each in call.github.accounts.values() if each.account_id == number), None)
    if account is None:
        raise Refused(404, _NOT_FOUND)
    return Answer(200, answers.public_user(account))


def paging(call: Call, path: str, count: int) -> dict[str, str]:
    """The Link header that leads through the pages of a list."""
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
