"""Control a simulator in another process: POST /_simulator with {"do": COMMAND, ...}.

remote = RemoteGitHub("http://127.0.0.1:8080")
app = remote.do("register_app", webhook_url="http://127.0.0.1:8000/webhook")
remote.do("repositories", account="acme", type="Organization", repositories=[{"name": "shop", "git_dir": "/x.git"}])
remote.do("install", app_id=app["app_id"], account="acme")
remote.do("figures")["peak_minute"]
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulator import faults
from tests.simulator.messages import Request, Response
from tests.simulator.state import stamp

if TYPE_CHECKING:
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository

PATH = "/_simulator"
_TIMEOUT_S = 60.0
_ACTIONS = {
    "archive", "comment", "delete", "edit_default_branch", "privatize", "publicize", "pushed", "rename", "unarchive",
}  # fmt: skip
_INSTALLATION_ACTIONS = {"suspend", "uninstall", "unsuspend"}


class RemoteGitHub:
    """Client for a simulator's control endpoint. Raises RuntimeError with the simulator's message."""

    def __init__(self, url: str) -> None:
        self.url = url

    def do(self, command: str, **arguments: object) -> Any:
        body = json.dumps({"do": command, **arguments}).encode()
        request = urllib.request.Request(self.url + PATH, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{command}: {error.read().decode()}") from None


def handle_control(github: GitHub, request: Request) -> Response:
    arguments = json.loads(request.body)
    command = _COMMANDS.get(arguments.pop("do", ""))
    if command is None:
        return Response(404, {"message": f"one of {', '.join(sorted(_COMMANDS))}"})
    try:
        return Response(200, command(github, **arguments))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        return Response(400, {"message": f"{type(error).__name__}: {error}"})


def _register_app(github: GitHub, **arguments: Any) -> Any:
    app = github.register_app(**arguments)
    shown = ("app_id", "slug", "client_id", "client_secret", "webhook_secret", "private_key")
    return {name: getattr(app, name) for name in shown}


def _set_webhook(github: GitHub, app_id: int, url: str, secret: str = "") -> Any:
    app = github.apps[app_id]
    app.webhook_url, app.webhook_secret = url, secret or app.webhook_secret
    return {}


def _repositories(github: GitHub, account: str, repositories: list[dict[str, Any]], type: str = "Organization") -> Any:
    owner = github.account(account, type)
    made = []
    for each in repositories:
        git_dir = each.pop("git_dir", None)
        made.append(owner.repository(git_dir=None if git_dir is None else Path(git_dir), **each))
    return [{"id": repo.repository_id, "full_name": repo.full_name} for repo in made]


def _install(
    github: GitHub,
    app_id: int,
    account: str,
    repositories: list[str] | None = None,
    permissions: dict[str, str] | None = None,
) -> Any:
    chosen = None if repositories is None else [_repository(github, name) for name in repositories]
    app = github.apps[app_id]
    installation = app.install(github.account(account), chosen, permissions=permissions)
    return {"installation_id": installation.installation_id}


def _installation(github: GitHub, installation_id: int, act: str) -> Any:
    assert act in _INSTALLATION_ACTIONS, act
    getattr(github.installations[installation_id], act)()
    return {}


def _act(github: GitHub, repository: str, act: str, **arguments: Any) -> Any:
    assert act in _ACTIONS, act
    getattr(_repository(github, repository), act)(**arguments)
    return {}


def _check_runs(github: GitHub, repository: str = "") -> Any:
    chosen = [_repository(github, repository)] if repository else github.repositories.values()
    return [
        {**run, "repository": repo.full_name, "created_at": stamp(run.created_at), "writes": run.writes}
        for repo in chosen
        for run in repo.check_runs
    ]


def _fault(github: GitHub, match: str, status: int, times: int = 1, hint: str = "") -> Any:
    honest = faults.forbidden("none" if hint == "none" else "retry-after") if status == 403 else faults.status(status)
    github.fault(match, honest, times)
    return {}


def _deliver(github: GitHub, now: bool) -> Any:
    """Hold deliveries back, or send held and future deliveries."""
    github.deliver_now = now
    return {"released": len(github.release()) if now else 0}


def _figures(github: GitHub) -> Any:
    """Return request counts, peaks relative to the limits, and violations."""
    limits = github.limits
    return {
        "now": stamp(github.clock.now()),
        "requests": len(github.requests),
        "check_runs": sum(len(repo.check_runs) for repo in github.repositories.values()),
        "check_run_writes": sum(run.writes for repo in github.repositories.values() for run in repo.check_runs),
        "peak_minute": limits.peak_minute(),
        "peak_hour": limits.peak_hour(),
        "refused": limits.refused(),
        "most_at_once": limits.most_at_once,
        "deliveries": len(github.deliveries),
        "deliveries_taken": sum(delivery.was_taken for delivery in github.deliveries),
        "violations": github.violations,
    }


def _repository(github: GitHub, full_name: str) -> Repository:
    repo, _ = github.look_up(*full_name.split("/"))
    if repo is None:
        raise KeyError(full_name)
    return repo


_COMMANDS: dict[str, Callable[..., Any]] = {
    "act": _act,
    "check_runs": _check_runs,
    "deliver": _deliver,
    "fault": _fault,
    "figures": _figures,
    "install": _install,
    "installation": _installation,
    "register_app": _register_app,
    "repositories": _repositories,
    "set_webhook": _set_webhook,
}
