import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.cli.output import Check
from bot.cli.server import doctor_app
from bot.cli.server.doctor_app import check_app, check_database, check_deliveries, check_permissions, check_redis
from bot.github.app_client import AppDescription, SentDelivery
from bot.github.credentials import credentials_path, save_credentials
from bot.receiver.dispatch import SUBSETS, events_of, permissions_of
from bot.records import Subset
from bot.settings import load_settings
from bot.setup.app_status import AppStatus
from bot.store.migrate import migrate
from tests.rows import each_row
from tests.simulator.faults import status
from tests.simulator.github import GitHub, serve_github

HOOK = "https://assay.example/webhook"


@pytest.fixture
def data_dir() -> Path:
    return Path(os.environ["ASSAY_DATA_DIR"])


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github") as serving:
        monkeypatch.setenv("ASSAY_GITHUB_URL", serving.url)
        yield serving


def checks() -> dict[str, Check]:
    found = {check.name: check for check in check_app(load_settings())}
    assert all(check.ok or check.to_do for check in found.values())
    return found


def permissions(subset: Subset) -> dict[str, str]:
    return {each.name: each.access for each in permissions_of(subset)}


def known(granted: dict[str, str], events: tuple[str, ...]) -> AppStatus:
    return AppStatus(AppDescription(7, "assay", "Assay", "", granted, events), HOOK)


def test_without_an_app_nothing_is_required_or_requested(github: GitHub) -> None:
    found = checks()
    assert list(found) == ["App", "database", "Redis"]
    assert not any(check.required for check in found.values())
    assert "assay setup" in found["App"].to_do
    assert github.requests == []


def test_a_correct_app_needs_no_action(github: GitHub, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PUBLIC_URL", "https://assay.example")
    app = github.register_app(HOOK, permissions("screen"), events_of("screen"), name="Assay acme")
    save_credentials(data_dir, app.credentials)
    found = checks()
    assert list(found) == ["App", "database", "Redis", "GitHub", "permissions", "webhook", "public address"]
    assert [name for name, check in found.items() if not check.ok] == []
    assert str(credentials_path(data_dir)) in found["App"].found
    assert found["permissions"].found == "match subset screen"


def test_invalid_credentials_are_reported_and_the_rest_is_checked(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    credentials_path(data_dir).touch(mode=0o644)
    found = checks()
    assert (found["App"].ok, found["App"].required) == (False, True)
    assert "chmod 600" in found["App"].to_do
    assert "Redis" in found


def test_an_invalid_stored_key_is_reported(github: GitHub, data_dir: Path) -> None:
    app = github.register_app(HOOK)
    save_credentials(data_dir, replace(app.credentials, private_key="hunter2"))
    found = checks()
    assert not found["App"].ok
    assert "hunter2" not in str(found)


def test_deliveries_sent_elsewhere_are_reported(
    github: GitHub, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_credentials(data_dir, github.register_app(HOOK, permissions("full"), events_of("full")).credentials)
    assert checks()["public address"].to_do.startswith("set it")
    monkeypatch.setenv("ASSAY_PUBLIC_URL", "https://elsewhere.example/below")
    found = checks()["webhook"]
    assert (found.ok, found.required) == (False, True)
    assert "https://elsewhere.example/below/webhook" in found.to_do


def test_errors_of_github_are_reported(github: GitHub, data_dir: Path) -> None:
    save_credentials(data_dir, github.register_app(HOOK).credentials)
    github.fault("GET /app", status(500))
    found = checks()
    assert (found["GitHub"].ok, found["GitHub"].found) == (False, "GitHub returned HTTP 500")
    assert "permissions" not in found


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_permissions_of_each_subset_are_recognized(subset: Subset) -> None:
    check = check_permissions(known(permissions(subset), events_of(subset)))
    assert (check.ok, check.found) == (True, f"match subset {subset}")


def test_missing_permissions_fail_and_surplus_ones_are_noted(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, str], tuple[str, ...], bool, str]] = [
        ({"metadata": "read"}, (), True, "contents: read, checks: write, event check_run"),
        (permissions("screen") | {"checks": "read"}, events_of("screen"), True, "subset screen: checks: write"),
        (permissions("full"), events_of("screen"), True, "subset full: event issue_comment"),
        (permissions("screen") | {"issues": "read"}, events_of("screen"), False, "not in subset screen: issues"),
        (permissions("full") | {"administration": "write"}, events_of("full"), False, "full: administration"),
    ]
    for granted, events, required, says in cases:
        with subtests.test(granted=granted, events=events, required=required, says=says):
            check = check_permissions(known(granted, events))
            assert (check.ok, check.required) == (False, required)
            assert says in check.found


def test_a_database_is_checked_but_not_created(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/assay.sqlite"
    assert check_database(url, required=True).found.endswith("not created yet")
    assert list(tmp_path.iterdir()) == []
    migrate(url, "base")
    old = check_database(url, required=True)
    assert not old.ok
    assert "assay migrate" in old.to_do
    migrate(url)
    assert check_database(url, required=True).ok


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://h/d", "postgresql://ada:hunter2@127.0.0.1:9/assay", "postgresql://ada:hunter2@h.invalid/a"],
)
def test_an_unreachable_database_is_reported_without_its_password(url: str) -> None:
    check = check_database(url, required=True)
    assert not check.ok
    assert "hunter2" not in str(check)
    assert "ASSAY_DATABASE_URL" in check.to_do


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "assay.sqlite").write_bytes(b"no database" * 100)
    assert not check_database(f"sqlite:///{tmp_path}/assay.sqlite", required=True).ok


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:9/0", "nonsense", "unix:///nowhere/redis.sock"])
def test_an_unreachable_redis_is_reported_without_its_password(url: str) -> None:
    check = check_redis(url, required=True)
    assert not check.ok
    assert "hunter2" not in str(check)
    assert "ASSAY_REDIS_URL" in check.to_do


@each_row(
    ("codes", "ok", "found"),
    [
        ([], True, HOOK),
        ([202], True, HOOK),
        ([202, 401, 401], True, HOOK),  # mended
        ([401], False, "the newest 1 of 1 deliveries was answered with HTTP 401"),
        ([401, 401, 202], False, "the newest 2 of 3 deliveries were answered with HTTP 401"),
        ([415], False, "HTTP 415"),
        ([0, 0], True, "not answered at all"),  # which Assay asks GitHub to send again
        ([502, 202], True, "HTTP 502"),
    ],
)
def test_githubs_list_of_deliveries_shows_how_they_were_answered(codes: list[int], ok: bool, found: str) -> None:
    sent = tuple(
        SentDelivery(number, str(number), "push", "", datetime.now(UTC), code, False, 1, 1)
        for number, code in enumerate(codes)
    )
    check = check_deliveries(replace(known({}, ()), deliveries=sent))
    assert (check.ok, found in check.found) == (ok, True)
    assert ("secret" in check.to_do) is (codes[:1] == [401])


def test_a_redis_url_that_is_none_is_told_from_a_redis_that_is_down() -> None:
    for url in ("127.0.0.1:6379", "redis:6379", "redis://h:port", "redis://", "unix://", "redis://h?socket_timeout=x"):
        check = check_redis(url, required=True)
        assert (url, check.ok) == (url, False)
        assert "redis://HOST:PORT" in check.found


def test_without_a_redis_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_redis("", required=True).ok
    monkeypatch.setattr("bot.jobs.embedded_redis.find_server", lambda: None)
    check = check_redis("", required=False)
    assert (check.ok, check.required) == (False, False)
    assert "ASSAY_REDIS_URL" in check.to_do


def test_configured_services_are_required_even_without_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_app, "TIMEOUT_S", 1.0)
    monkeypatch.setenv("ASSAY_REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("ASSAY_DATABASE_URL", "postgresql://127.0.0.1:9/assay")
    found = checks()
    assert [check.required for check in found.values()] == [False, True, True]
