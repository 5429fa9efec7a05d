"""`.github/assay.yml` from the default branch to the check run: what applies, what does not and why, and whose."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.policy import Policy
from tests.builders.history import History
from tests.builders.running_app import RunningApp, running_app
from tests.flows.test_screening_flow import count, newest
from tests.simulator.clocks import SettableClock
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

PATH = ".github/assay.yml"
FUNCTION = "def f{n}(x):\n    y = x + {v}\n    return y\n"
APPLIES = "fix_patterns: ['^CRASH-']\n# what follows is wrong\n"
WRONG = (  # a line of the file, what the check run must say of it
    ("bug_label: [x]", "bug_label: unknown key (closest: bug_labels)"),
    ("permission: owner", "permission: must be one of write, maintain, admin"),
    ("quiet: maybe", "quiet"),
    ("ignore_patterns: ['(unclosed']", "ignore_patterns"),
    ("include: src/**", "include: must be a list"),
    ("exclude: &all ['**/x']", "exclude"),  # an anchor: aliases are refused
    ("publish_ranking:", "publish_ranking: has no value"),
    ("finetune: [1]", "finetune: must be a section"),
    ("bug_labels: [bug, {deep: map}]", "bug_labels"),
    ("fix_patterns: ['^LATER-']", "fix_patterns: duplicate of line 1"),
)


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github", SettableClock()) as github:
        yield github


@pytest.fixture
def app(tmp_path: Path, github: GitHub) -> Iterator[RunningApp]:
    with running_app(tmp_path / "app", github, policy=Policy(heartbeat_s=0.2, sweep_s=0.1)) as app:
        yield app


@pytest.fixture
def acme(github: GitHub) -> Account:
    return github.account("acme", type="Organization")


def history(path: Path, config: str = "", days: int = 1_500) -> Path:
    """Functions whose fixes are called CRASH-n, and the configuration at the newest commit."""
    made = History()
    made.commit("start", {f"src/m{n}.py": FUNCTION.format(n=n, v=0) for n in range(6)}, day=0)
    for step in range(1, days // 30):
        made.commit(
            f"CRASH-{step}: another sum", {f"src/m{step % 6}.py": FUNCTION.format(n=step % 6, v=step)}, day=step * 30
        )
    made.commit("docs: configuration", {PATH: config or "# nothing\n"}, day=days)
    shutil.rmtree(path, ignore_errors=True)
    return made.write(path)


def said(app: RunningApp, repo: Repository, number: int = 1) -> str:
    """The newest check run, once there are as many."""
    app.until(f"{number} check runs", lambda: len(repo.check_runs) >= number)
    app.until_idle()
    return str(repo.check_runs[-1]["output"]["summary"])


def test_errors_of_ten_kinds_are_told_by_key_and_line_and_the_rest_applies(
    app: RunningApp, acme: Account, tmp_path: Path
) -> None:
    lines = [line for line, _ in WRONG]
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git", APPLIES + "\n".join(lines) + "\n"))
    installation = app.registered.install(acme, [shop])
    summary = said(app, shop)
    assert "### Configuration" in summary
    for number, (_, problem) in enumerate(WRONG, start=3):
        [told] = [line for line in summary.splitlines() if f"line {number}, " in line]
        assert problem in told.replace("`", ""), told
    screening = newest(app, installation, shop)
    assert len(screening.config_hash) == 12
    assert screening.measurement["fix_commits"] > 10  # by the pattern that applies
    assert "Measured with this repository's own configuration." in screening.judgement["reasons"]


def test_without_a_file_nothing_is_said_and_nothing_is_configured(
    app: RunningApp, acme: Account, tmp_path: Path
) -> None:
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git"))
    installation = app.registered.install(acme, [shop])
    assert "### Configuration" not in said(app, shop)
    screening = newest(app, installation, shop)
    assert (screening.config_hash, screening.measurement["fix_commits"]) == ("", 0)


def test_the_organizations_file_applies_where_its_repository_is_installed(
    app: RunningApp, acme: Account, tmp_path: Path
) -> None:
    of_all = acme.repository(
        ".github", git_dir=history(tmp_path / "all.git", APPLIES + "permission: nobody\n"), private=True
    )
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git"))
    till = acme.repository("till", git_dir=history(tmp_path / "till.git", "fix_patterns: []\n"))
    installation = app.registered.install(acme, [of_all, shop, till])
    summary = said(app, shop)
    said(app, till)
    assert newest(app, installation, shop).measurement["fix_commits"] > 10
    assert newest(app, installation, till).measurement["fix_commits"] == 0  # its own word replaces the organization's
    assert "nobody" not in summary  # of a private file nothing is repeated
    assert "1 line of the organization's `.github/assay.yml` does not apply" in summary


def test_an_organizations_file_that_the_installation_does_not_have_is_not_read(
    app: RunningApp, acme: Account, tmp_path: Path
) -> None:
    acme.repository(".github", git_dir=history(tmp_path / "all.git", APPLIES), private=False)
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git"))
    installation = app.registered.install(acme, [shop])
    said(app, shop)
    assert newest(app, installation, shop).config_hash == ""


def test_a_push_that_changes_what_counts_is_measured_at_once_and_another_is_carried(
    app: RunningApp, github: GitHub, acme: Account, tmp_path: Path
) -> None:
    clock = github.clock
    assert isinstance(clock, SettableClock)
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git"))
    installation = app.registered.install(acme, [shop])
    said(app, shop)
    clock.advance(timedelta(hours=2))
    history(tmp_path / "shop.git", "quiet: false\n", days=1_530)
    app.hear(shop.pushed())
    app.until_idle()
    clock.advance(61)
    said(app, shop, 2)
    assert count(app, "screenings", installation) == 1
    clock.advance(timedelta(hours=2))
    history(tmp_path / "shop.git", APPLIES, days=1_560)
    app.hear(shop.pushed())
    app.until_idle()
    clock.advance(61)
    said(app, shop, 3)
    assert count(app, "screenings", installation) == 2
    assert newest(app, installation, shop).config_hash != ""


def test_a_repository_may_ask_for_quiet_for_itself(
    app: RunningApp, github: GitHub, acme: Account, tmp_path: Path
) -> None:
    clock = github.clock
    assert isinstance(clock, SettableClock)
    shop = acme.repository("shop", git_dir=history(tmp_path / "shop.git", "quiet: true\n"))
    app.registered.install(acme, [shop])
    said(app, shop)
    clock.advance(timedelta(hours=30))
    history(tmp_path / "shop.git", "quiet: true\n", days=1_530)
    app.hear(shop.pushed())
    app.until_idle()
    clock.advance(61)
    app.until_idle()
    assert len(shop.check_runs) == 1  # measured again, and the verdict is the same
