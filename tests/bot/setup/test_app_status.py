import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.github.endpoints import GitHubServer
from bot.github.errors import BadToken, NotFound, Unavailable
from bot.records import AppCredentials
from bot.setup.app_status import RegisteredApp, ask_about_app
from tests.builders.credentials import private_key
from tests.simulator.faults import stall, status
from tests.simulator.github import GitHub, serve_github

HOOK = "https://assay.example/webhook"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path) as serving:
        yield serving


def ask(github: GitHub, credentials: AppCredentials, timeout_s: float = 5.0) -> RegisteredApp:
    server = GitHubServer(github.url, github.api_url, "2022-11-28")
    return asyncio.run(ask_about_app(credentials, server, SystemClock(), timeout_s))


def test_github_tells_what_it_knows_of_the_app(github: GitHub) -> None:
    app = github.register_app(HOOK, {"checks": "write"}, ("push",), name="Assay acme")
    known = ask(github, app.credentials)
    assert (known.app.app_id, known.app.name, known.app.slug) == (app.app_id, "Assay acme", "assay-acme")
    assert (known.app.permissions, known.app.events) == ({"checks": "write"}, ("push",))
    assert known.webhook_url == HOOK


def test_another_key_or_number_is_not_the_apps(github: GitHub) -> None:
    app = github.register_app(HOOK)
    with pytest.raises(BadToken):
        ask(github, replace(app.credentials, private_key=private_key(77)))
    with pytest.raises((BadToken, NotFound)):  # GitHub says 404 of a number that it does not know
        ask(github, replace(app.credentials, app_id=99_999))


def test_a_key_that_is_none_is_said_without_being_asked(github: GitHub) -> None:
    app = github.register_app(HOOK)
    with pytest.raises(BadToken, match="private key"):
        ask(github, replace(app.credentials, private_key="hunter2"))
    assert all(seen.path != "/app" for seen in github.requests)


def test_a_github_that_does_not_answer_is_given_up(github: GitHub) -> None:
    app = github.register_app(HOOK)
    github.fault("GET /app", stall())
    with pytest.raises(Unavailable, match="no answer from"):
        ask(github, app.credentials, 0.1)
    github.fault("GET /app", status(500))
    with pytest.raises(Unavailable, match="HTTP 500"):
        ask(github, app.credentials, 60)  # on a machine that has much else to do
