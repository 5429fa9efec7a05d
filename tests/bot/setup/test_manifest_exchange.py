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
from tests.rows import each_row
from tests.simulator.faults import Fault, cut, forbidden, redirect, stall, status
from tests.simulator.github import GitHub, serve_github
from tests.simulator.messages import Response

CONVERSION = "POST /app-manifests/.*"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path) as serving:
        yield serving


def server_of(github: GitHub) -> GitHubServer:
    return GitHubServer(github.url, github.api_url, "2022-11-28")


def a_code(github: GitHub, *, age: timedelta = timedelta(0)) -> str:
    """Return a code as the browser brings it back once a person has confirmed the registration."""
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


def test_a_code_is_exchanged_for_stored_credentials(github: GitHub, tmp_path: Path) -> None:
    code = a_code(github)
    credentials = asyncio.run(register(code, server_of(github), SystemClock(), tmp_path / "data"))
    (app,) = github.apps.values()
    assert credentials == app.credentials
    assert load_credentials(tmp_path / "data") == app.credentials


def test_credentials_stored_by_another_process_are_kept(github: GitHub, tmp_path: Path) -> None:
    other = AppCredentials(8, private_key(8), ("x",))
    save_credentials(tmp_path / "data", other)
    with pytest.raises(AssayError, match="another App was stored in the meantime"):
        asyncio.run(register(a_code(github), server_of(github), SystemClock(), tmp_path / "data"))
    assert load_credentials(tmp_path / "data") == other


def test_a_code_works_once(github: GitHub) -> None:
    code = a_code(github)
    exchange(github, code)
    assert "works only once and within an hour: open the setup page again" in refusal(github, code)


def test_a_code_works_for_an_hour(github: GitHub) -> None:
    exchange(github, a_code(github, age=timedelta(minutes=59)))
    assert "works only once and within an hour" in refusal(github, a_code(github, age=timedelta(hours=1)))


@each_row("code", ["", "..", "a/b", "a?b=c", "a b", "é", "a" * 201, "a\n"])
def test_invalid_codes_are_not_sent(github: GitHub, code: str) -> None:
    assert "sent no code" in refusal(github, code)
    assert github.requests == []


FAULTS: dict[str, tuple[Fault, str]] = {
    "refused": (status(422, message="Validation Failed"), "refuses this code"),
    "elsewhere": (redirect("https://elsewhere.example/x"), "another host"),
    "unwell": (status(500), "HTTP 500"),
    "busy": (forbidden(), "rate limit is used up until"),
    "gone": (cut(), "cannot connect"),
    "a page": (Response(201, b"<html>It works!</html>"), "unexpected response"),
    "half of it": (Response(201, {"id": 1, "slug": "a"}), "unexpected response"),
    "no key": (Response(201, {"id": 1, "pem": "hunter2", "webhook_secret": "s3cret"}), "is not a private key"),
    "no secret": (Response(201, {"id": 1, "pem": "hunter2", "webhook_secret": None}), "created no webhook secret"),
}


@each_row(("fault", "says"), FAULTS.values())
def test_github_failures_are_explained(github: GitHub, fault: Fault, says: str) -> None:
    github.fault(CONVERSION, fault)
    message = refusal(github, a_code(github))
    assert says in message
    assert "hunter2" not in message
    assert "s3cret" not in message


def test_a_failed_exchange_is_not_retried(github: GitHub) -> None:
    rule = github.fault(CONVERSION, status(502), times=9)
    refusal(github, a_code(github))
    assert rule.met == 1


def test_a_github_that_never_responds_times_out(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_exchange, "TIMEOUT_S", 0.1)
    github.fault(CONVERSION, stall())
    assert "took too long to respond" in refusal(github, a_code(github))


def test_an_unreachable_host_is_named(github: GitHub) -> None:
    nowhere = replace(server_of(github), api_url="http://127.0.0.1:9")
    with pytest.raises(AssayError, match=r"cannot connect to GitHub \(http://127\.0\.0\.1:9\)"):
        asyncio.run(convert("abc", nowhere, SystemClock()))


def test_a_storage_failure_says_that_credentials_are_lost(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AssayError, match=r"could not be stored \(No space left on device\): delete the App on GitHub"):
        asyncio.run(register(a_code(github), server_of(github), SystemClock(), tmp_path / "data"))
    assert list((tmp_path / "data").iterdir()) == []
