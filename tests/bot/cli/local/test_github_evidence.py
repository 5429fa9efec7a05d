"""`assay screen --github-token`: issues and pull requests as evidence on a terminal, and what is said without them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import run
from tests.builders.code import module
from tests.builders.history import History
from tests.simulator import faults
from tests.simulator.clocks import SettableClock
from tests.simulator.git_facts import commit_facts
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository

DAYS = 1_500
EVIDENCE = {"contents": "read", "issues": "read", "metadata": "read", "pull_requests": "read"}


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github", SettableClock(datetime.now(UTC))) as served:
        monkeypatch.setenv("ASSAY_GITHUB_URL", served.url)
        monkeypatch.setenv("ASSAY_GITHUB_API_URL", served.api_url)
        yield served


@pytest.fixture
def shop(github: GitHub, tmp_path: Path) -> Repository:
    """A history whose commits say "Closes #n" and never "fix", and its issues: bugs, but for one."""
    history = History()
    history.commit("start", {"a.py": module("0", "0")}, day=0)
    for number in range(1, 7):
        history.commit(f"Count again\n\nCloses #{number}", {"a.py": module(str(number), "0")}, day=520 + 60 * number)
    history.commit("head", {"README": "x"}, day=DAYS)
    repository = github.account("acme", type="Organization").repository("shop", history.write(tmp_path / "shop.git"))
    head_at = commit_facts(repository.git_dir, str(repository.head())).committed_at
    for number in range(1, 7):
        opened = head_at - timedelta(days=DAYS - 500 - 60 * number)
        repository.issue(number, labels=["bug"] if number < 6 else [], opened_at=opened, closed_at=opened)
    return repository


def token(github: GitHub, repository: Repository, permissions: dict[str, str] = EVIDENCE) -> str:
    app = github.register_app()
    return app.install(repository.owner, [repository]).token(permissions)


def screened(capsys: pytest.CaptureFixture[str], repository: Repository, *options: str) -> dict[str, Any]:
    command = ["screen", str(repository.git_dir), "--jobs", "1", "--json", *options]
    code = run(command)
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_without_a_token_only_messages_are_used_and_noted(shop: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    found = screened(capsys, shop)
    assert found["fix_commits"] == 0
    assert list(found["densities"]) == ["messages/2"]
    assert found["evidence_note"].startswith("From commit messages only: --github-token")


def test_with_a_token_both_densities_are_shown_and_messages_still_decide(
    github: GitHub, shop: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(token(github, shop) + "\n")
    found = screened(capsys, shop, "--github-token", str(file), "--github-repo", "acme/shop")
    assert (found["density"], found["densities"]["messages/2"]) == (0.0, 0.0)
    assert found["densities"]["messages+api/2"] > 0
    assert found["diagnosis"]["issues"] == {"closed": 6, "unlabelled": 1, "bugs": 5}
    assert found["evidence_note"].startswith("Uses 6 issues and pull requests")


def test_once_adopted_the_recipe_with_issues_decides_against_a_borrowed_threshold(
    github: GitHub,
    shop: Repository,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(["calibration", "adopt", "--recipe", "messages+api/2"]) == 0
    capsys.readouterr()
    alone = screened(capsys, shop)
    assert (alone["threshold_source"], alone["density"]) == ("seed", 0.0)
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", token(github, shop))
    found = screened(capsys, shop, "--github-repo", "acme/shop")
    assert found["label_recipe_id"] != alone["label_recipe_id"]
    assert found["threshold_source"] == "borrowed"
    low, high = found["band"]
    assert low <= 0.7 * found["threshold"]
    assert high >= 1.3 * found["threshold"]
    assert found["density"] == found["densities"]["messages+api/2"] > 0
    assert found["evidence"] == {"issue": 1.0}


def test_unreadable_evidence_is_noted(
    github: GitHub, shop: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", token(github, shop, {"contents": "read", "metadata": "read"}))
    found = screened(capsys, shop, "--github-repo", "acme/shop")
    assert "may not read issues and pull requests" in found["evidence_note"]


def test_a_second_screening_fetches_only_changes(
    github: GitHub, shop: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", token(github, shop))
    screened(capsys, shop, "--github-repo", "acme/shop")
    before = len(github.requests)
    screened(capsys, shop, "--github-repo", "acme/shop")
    assert len(github.requests) - before <= 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--github-token", "ghp_" + "a" * 36], "--github-token takes a file or -, not the token itself"),
        (["--github-token", "nowhere"], "nowhere"),
    ],
)
def test_an_unreadable_token_is_one_line_without_the_token(
    shop: Repository, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(["screen", str(shop.git_dir), *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "ghp_" not in err
    assert err.count("\n") == 1


def test_a_local_path_needs_its_name_on_github(
    shop: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", "ghp_" + "a" * 36)
    assert run(["screen", str(shop.git_dir)]) == 2
    assert "add --github-repo OWNER/NAME" in capsys.readouterr().err
    assert run(["screen", str(shop.git_dir), "--github-repo", "no name"]) == 2
    assert "--github-repo must be OWNER/NAME" in capsys.readouterr().err


def test_an_exhausted_rate_limit_says_when_to_retry_and_keeps_facts(
    github: GitHub, shop: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", token(github, shop))
    github.graphql.points_an_hour = 1
    assert run(["screen", str(shop.git_dir), "--github-repo", "acme/shop"]) == 2
    assert "GitHub's rate limit is exhausted until" in capsys.readouterr().err
    github.graphql.points_an_hour = 5_000
    assert screened(capsys, shop, "--github-repo", "acme/shop")["densities"]["messages+api/2"] > 0


def test_an_unreachable_github_is_one_line(
    github: GitHub, shop: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_GITHUB_TOKEN", token(github, shop))
    github.fault("POST /api/graphql", faults.unauthorized(), times=10)
    assert run(["screen", str(shop.git_dir), "--github-repo", "acme/shop"]) == 2
    assert "cannot fetch the issues of acme/shop from GitHub" in capsys.readouterr().err
