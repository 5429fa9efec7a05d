import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.github.endpoints import GitHubServer
from bot.github.errors import BadToken, NotFound, Unavailable
from bot.records import AppCredentials
from bot.setup.app_status import AppStatus, fetch_app_status
from tests.builders.credentials import private_key
from tests.simulator.faults import stall, status
from tests.simulator.github import GitHub, serve_github

HOOK = "https://assay.example/webhook"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path) as serving:
        yield serving


def ask(github: GitHub, credentials: AppCredentials, timeout_s: float = 5.0) -> AppStatus:
    server = GitHubServer(github.url, github.api_url, "2022-11-28")
    return asyncio.run(fetch_app_status(credentials, server, SystemClock(), timeout_s))


def test_the_apps_status_is_fetched(github: GitHub) -> None:
    app = github.register_app(HOOK, {"checks": "write"}, ("push",), name="Assay acme")
    known = ask(github, app.credentials)
    assert (known.app.app_id, known.app.name, known.app.slug) == (app.app_id, "Assay acme", "assay-acme")
    assert (known.app.permissions, known.app.events) == ({"checks": "write"}, ("push",))
    assert known.webhook_url == HOOK


def test_a_wrong_key_or_id_is_rejected(github: GitHub) -> None:
    app = github.register_app(HOOK)
    with pytest.raises(BadToken):
        ask(github, replace(app.credentials, private_key=private_key(77)))
    with pytest.raises((BadToken, NotFound)):  # GitHub says 404 of a number that it does not know
        ask(github, replace(app.credentials, app_id=99_999))


def test_an_invalid_key_fails_without_a_request(github: GitHub) -> None:
    app = github.register_app(HOOK)
    with pytest.raises(BadToken, match="private key"):
        ask(github, replace(app.credentials, private_key="hunter2"))
    assert all(seen.path != "/app" for seen in github.requests)


def test_a_silent_github_times_out(github: GitHub) -> None:
    app = github.register_app(HOOK)
    stalled = github.fault("GET /app", stall())
    with pytest.raises(Unavailable, match="no response from"):
        ask(github, app.credentials, 0.1)
    stalled.stop()  # in case the first request never got this far
    github.fault("GET /app", status(500))
    with pytest.raises(Unavailable, match="HTTP 500"):
        ask(github, app.credentials, 60)  # on a machine that has much else to do
