import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.github.credentials import load_credentials, save_credentials
from bot.github.endpoints import GitHubServer
from bot.records import AppCredentials
from bot.setup import manifest_exchange
from bot.setup.manifest_exchange import convert, register
from pipeline.records import AssayError
from tests.builders.credentials import private_key
from tests.simulator.faults import Fault, cut, forbidden, redirect, stall, status
from tests.simulator.github import GitHub, serve_github
from tests.simulator.messages import Answer

CONVERSION = "POST /app-manifests/.*"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path) as serving:
        yield serving


def server_of(github: GitHub) -> GitHubServer:
    return GitHubServer(github.url, github.api_url, "2022-11-28")


def a_code(github: GitHub, *, age: timedelta = timedelta(0)) -> str:
    """As the browser brings it back once a person has confirmed the registration."""
    code = secrets.token_hex(20)
    app = next(iter(github.apps.values()), None) or github.register_app(name="Assay acme")
    github.registrations.codes[code] = (app, github.clock.now() - age)
    return code


def exchange(github: GitHub, code: str) -> AppCredentials:
    return asyncio.run(convert(code, server_of(github), SystemClock()))


def refusal(github: GitHub, code: str) -> str:
    with pytest.raises(AssayError) as refused:
        exchange(github, code)
    assert str(refused.value).isprintable()
    assert code not in str(refused.value) or not code
    return str(refused.value)


def test_a_code_becomes_the_apps_credentials_and_is_stored(github: GitHub, tmp_path: Path) -> None:
    code = a_code(github)
    credentials = asyncio.run(register(code, server_of(github), SystemClock(), tmp_path / "data"))
    (app,) = github.apps.values()
    assert credentials == app.credentials
    assert load_credentials(tmp_path / "data") == app.credentials


def test_what_another_process_stored_meanwhile_is_not_overwritten(github: GitHub, tmp_path: Path) -> None:
    other = AppCredentials(8, private_key(8), ("x",))
    save_credentials(tmp_path / "data", other)
    with pytest.raises(AssayError, match="another App was stored meanwhile"):
        asyncio.run(register(a_code(github), server_of(github), SystemClock(), tmp_path / "data"))
    assert load_credentials(tmp_path / "data") == other


def test_a_code_is_good_once(github: GitHub) -> None:
    code = a_code(github)
    exchange(github, code)
    assert "good once and for an hour: open the setup page again" in refusal(github, code)


def test_a_code_is_good_for_an_hour(github: GitHub) -> None:
    exchange(github, a_code(github, age=timedelta(minutes=59)))
    assert "good once and for an hour" in refusal(github, a_code(github, age=timedelta(hours=1)))


@pytest.mark.parametrize("code", ["", "..", "a/b", "a?b=c", "a b", "é", "a" * 201, "a\n"])
def test_what_is_no_code_is_not_sent(github: GitHub, code: str) -> None:
    assert "carries no code" in refusal(github, code)
    assert github.requests == []


FAULTS: dict[str, tuple[Fault, str]] = {
    "refused": (status(422, message="Validation Failed"), "refuses this code"),
    "elsewhere": (redirect("https://elsewhere.example/x"), "another host"),
    "unwell": (status(500), "HTTP 500"),
    "busy": (forbidden(), "no more requests until"),
    "gone": (cut(), "no connection"),
    "a page": (Answer(201, b"<html>It works!</html>"), "makes no sense"),
    "half of it": (Answer(201, {"id": 1, "slug": "a"}), "makes no sense"),
    "no key": (Answer(201, {"id": 1, "pem": "hunter2", "webhook_secret": "s3cret"}), "is no private key"),
    "no secret": (Answer(201, {"id": 1, "pem": "hunter2", "webhook_secret": None}), "made no webhook secret"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS)
def test_a_github_that_does_not_help_is_told_in_words(github: GitHub, fault: Fault, says: str) -> None:
    github.fault(CONVERSION, fault)
    said = refusal(github, a_code(github))
    assert says in said
    assert "hunter2" not in said
    assert "s3cret" not in said


def test_a_failure_is_not_repeated_for_the_code_may_be_spent(github: GitHub) -> None:
    rule = github.fault(CONVERSION, status(502), times=9)
    refusal(github, a_code(github))
    assert rule.met == 1


def test_a_github_that_never_answers_is_given_up(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_exchange, "TIMEOUT_S", 0.1)
    github.fault(CONVERSION, stall())
    assert "took too long to answer" in refusal(github, a_code(github))


def test_a_host_that_is_not_there_is_named(github: GitHub) -> None:
    nowhere = replace(server_of(github), api_url="http://127.0.0.1:9")
    with pytest.raises(AssayError, match=r"no connection to GitHub \(asked http://127\.0\.0\.1:9\)"):
        asyncio.run(convert("abc", nowhere, SystemClock()))


def test_credentials_that_cannot_be_stored_are_said_to_be_lost(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AssayError, match=r"could not be stored \(No space left on device\): delete the App on GitHub"):
        asyncio.run(register(a_code(github), server_of(github), SystemClock(), tmp_path / "data"))
    assert list((tmp_path / "data").iterdir()) == []
