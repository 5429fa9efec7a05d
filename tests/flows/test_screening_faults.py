"""What goes wrong between GitHub, Redis and the App: each accepted delivery's work is done once, and nothing is kept of
whoever left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.policy import Policy
from tests.builders.running_app import RunningApp, running_app
from tests.flows.test_screening_flow import TABLES, count, newest, small_history
from tests.simulator import faults
from tests.simulator.clocks import SettableClock
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

pytestmark = pytest.mark.faults

TABLES_OF_A_REPOSITORY = ("repositories", "screenings", "jobs", "deliveries")
QUICK = Policy(heartbeat_s=0.2, sweep_s=0.1)


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github", SettableClock()) as github:
        yield github


@pytest.fixture
def app(tmp_path: Path, github: GitHub) -> Iterator[RunningApp]:
    with running_app(tmp_path / "app", github, policy=QUICK) as app:
        yield app


@pytest.fixture
def acme(github: GitHub) -> Account:
    return github.account("acme", type="Organization")


@pytest.fixture
def shop(tmp_path: Path, acme: Account) -> Repository:
    return acme.repository("shop", git_dir=small_history(tmp_path / "shop.git"))


def pass_time(app: RunningApp, github: GitHub, minutes: float = 30) -> None:
    """Let what was put off become due, a few times over."""
    app.until_idle()
    github.clock.advance(timedelta(minutes=minutes))  # type: ignore[attr-defined]
    app.until_idle()


def test_an_uninstallation_while_screening_leaves_nothing(app: RunningApp, acme: Account, shop: Repository) -> None:
    installation = app.registered.install(acme, [shop])
    app.github.fault("POST .*/git-upload-pack", faults.before(installation.uninstall))
    app.until("gone", lambda: installation.is_gone)
    app.until("no row", lambda: [count(app, table, installation) for table in TABLES] == [0] * len(TABLES))
    pass_time(app, app.github, 2)
    assert not app.clones.folder(installation.installation_id, shop.repository_id).exists()
    assert shop.check_runs == []


def test_an_answer_that_was_lost_is_looked_for_and_not_written_again(
    app: RunningApp, acme: Account, shop: Repository
) -> None:
    app.github.fault("POST .*/check-runs", faults.Lost(faults.status(502)))
    installation = app.registered.install(acme, [shop])
    app.until("the check run", lambda: shop.check_runs)
    pass_time(app, app.github)
    assert len(shop.check_runs) == 1
    assert count(app, "check_runs", installation) == 1


def test_what_passes_is_waited_for(app: RunningApp, acme: Account, shop: Repository) -> None:
    """One after the other, as the work meets them."""
    rules = [
        app.github.fault(match, fault, times)
        for match, fault, times in (
            ("POST .*/access_tokens", faults.forbidden("retry-after"), 1),
            ("GET /repos/.*", faults.unauthorized(), 1),
            ("GET /installation/repositories", faults.status(500), 2),
            ("POST .*/git-upload-pack", faults.status(503), 1),
            ("POST .*/git-upload-pack", faults.status(401), 1),
            ("POST .*/check-runs", faults.status(502), 2),
            ("POST .*/check-runs", faults.forbidden("none"), 2),
        )
    ]
    installation = app.registered.install(acme, [shop])
    for _ in range(20):
        app.until_idle()
        if shop.check_runs:
            break
        app.clock.advance(timedelta(minutes=10))  # type: ignore[attr-defined]
    assert len(shop.check_runs) == 1
    assert newest(app, installation, shop).failure == ""
    assert [rule.left for rule in rules] == [0] * len(rules)


def test_redis_is_killed_with_jobs_waiting(tmp_path: Path, app: RunningApp, acme: Account, shop: Repository) -> None:
    repositories = [
        shop,
        *(acme.repository(f"r{n}", git_dir=small_history(tmp_path / f"{n}.git", 1)) for n in range(3)),
    ]
    app.registered.install(acme, repositories)
    app.until("the first screening", lambda: any(repo.check_runs for repo in repositories))
    os.kill(app.redis.pid, signal.SIGKILL)
    app.until("all of them", lambda: all(repo.check_runs for repo in repositories))
    app.until_idle()
    assert [len(repo.check_runs) for repo in repositories] == [1, 1, 1, 1]


def test_a_suspended_installation_waits(app: RunningApp, acme: Account, shop: Repository) -> None:
    installation = app.registered.install(acme, [shop])
    rule = app.github.fault("POST .*/git-upload-pack", faults.before(installation.suspend))
    app.until("it is suspended", lambda: rule.met)
    pass_time(app, app.github)
    pass_time(app, app.github)
    assert shop.check_runs == []
    app.hear(installation.unsuspend())
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()
    assert len(shop.check_runs) == 1


def test_a_transfer_is_a_removal_and_a_fresh_start(app: RunningApp, acme: Account, shop: Repository) -> None:
    before = app.registered.install(acme, [shop])
    other = app.github.account("other", type="Organization")
    after = app.registered.install(other)
    app.until("the first verdict", lambda: len(shop.check_runs) == 1)
    app.hear(shop.transfer(other))
    app.until("the second verdict", lambda: len(shop.check_runs) == 2)
    pass_time(app, app.github, 2)
    assert [count(app, table, before) for table in ("repositories", "screenings", "check_runs")] == [0, 0, 0]
    assert count(app, "screenings", after) == 1
    assert not app.clones.folder(before.installation_id, shop.repository_id).exists()


def test_whatever_happens_to_a_repository_while_it_is_screened(tmp_path: Path, app: RunningApp, acme: Account) -> None:
    names = ("renamed", "privatized", "deleted", "removed", "archived", "forced")
    repos = {name: acme.repository(name, git_dir=small_history(tmp_path / f"{name}.git", 2)) for name in names}
    installation = app.registered.install(acme, list(repos.values()))

    def force() -> None:
        small_history(tmp_path / "forced.git", 1)
        repos["forced"].pushed(forced=True)

    happens: dict[str, Callable[[], object]] = {
        "renamed": lambda: repos["renamed"].rename("store"),
        "privatized": repos["privatized"].privatize,
        "deleted": repos["deleted"].delete,
        "removed": lambda: installation.remove(repos["removed"]),
        "archived": repos["archived"].archive,
        "forced": force,
    }
    rules = [app.github.fault(f"POST /acme/{n}.git/git-upload-pack", faults.before(act)) for n, act in happens.items()]
    app.until("all of it happened", lambda: all(rule.met for rule in rules))
    for _ in range(3):
        pass_time(app, app.github, 11)
    for name in ("deleted", "removed"):
        assert [count(app, table, installation, repos[name]) for table in TABLES_OF_A_REPOSITORY] == [0] * 4
        assert not app.clones.folder(installation.installation_id, repos[name].repository_id).exists()
    for name in ("renamed", "privatized", "forced"):
        assert [run["head_sha"] for run in repos[name].check_runs][-1] == repos[name].head()
        assert newest(app, installation, repos[name]).head_sha == repos[name].head()
        assert len(repos[name].check_runs) <= 2
    assert len(repos["archived"].check_runs) <= 1


def test_an_account_that_is_not_served_leaves_nothing_but_that(tmp_path: Path, github: GitHub, acme: Account) -> None:
    shop = acme.repository("shop", git_dir=small_history(tmp_path / "shop.git", 1))
    policy = Policy(allowed_accounts=("other",), sweep_s=0.1)
    with running_app(tmp_path / "app", github, policy=policy) as app:
        installation = app.registered.install(acme, [shop])
        app.until("refused", lambda: count(app, "installations", installation) == 1)
        app.hear(shop.pushed())
        pass_time(app, github)
        assert [count(app, table, installation) for table in ("repositories", "screenings")] == [0, 0]
        assert shop.check_runs == []


def test_a_delivery_of_an_outage_is_asked_for_again(app: RunningApp, acme: Account, shop: Repository) -> None:
    app.until_idle()
    hook, app.registered.webhook_url = app.registered.webhook_url, "http://127.0.0.1:9/webhook"
    app.hear(app.registered.install(acme, [shop]).sent)
    app.registered.webhook_url = hook
    app.github.clock.advance(timedelta(hours=1))  # type: ignore[attr-defined]
    app.until("the verdict", lambda: shop.check_runs)


def test_only_observing_posts_nothing(tmp_path: Path, github: GitHub, acme: Account) -> None:
    shop = acme.repository("shop", git_dir=small_history(tmp_path / "shop.git", 1))
    with running_app(tmp_path / "app", github, policy=Policy(mode="observe", sweep_s=0.1)) as app:
        installation = app.registered.install(acme, [shop])
        app.until("measured", lambda: count(app, "screenings", installation))
        pass_time(app, github)
        assert shop.check_runs == []


def test_a_stopped_worker_gives_back_what_it_was_screening(tmp_path: Path, github: GitHub, acme: Account) -> None:
    shop = acme.repository("shop", git_dir=small_history(tmp_path / "shop.git", 1))
    stall = github.fault("POST .*/git-upload-pack", faults.stall(None))
    with running_app(tmp_path / "app", github, policy=QUICK) as app:
        installation = app.registered.install(acme, [shop])
        app.until("the clone", lambda: stall.met)
        stall.stop()
    with running_app(tmp_path / "app", github, policy=QUICK, registered=app.registered) as app:
        app.until("the verdict", lambda: shop.check_runs)
        assert count(app, "screenings", installation) == 1


def test_an_installation_that_is_denied_once_and_listed_all_the_same_is_kept(
    app: RunningApp, github: GitHub, acme: Account, shop: Repository
) -> None:
    """One wrong "not found" must not cost an organization its verdicts."""
    installation = app.registered.install(acme, [shop])
    app.until("a check run", lambda: shop.check_runs)
    one = f"GET /app/installations/{installation.installation_id}"
    denied = github.fault(one, faults.status(404, message="Not Found"), times=2)
    installation.accept_permissions(installation.permissions)
    app.until("denied", lambda: denied.met)
    pass_time(app, github, minutes=2)
    pass_time(app, github, minutes=2)
    assert count(app, "repositories", installation) == 1
    assert len(shop.check_runs) == 1
