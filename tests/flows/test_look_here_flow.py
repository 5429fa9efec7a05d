"""Where to look first is said to who may read the repository, and to everybody only where the operator wants it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.policy import Policy
from tests.builders.running_app import RunningApp, running_app
from tests.flows.test_screening_flow import newest, small_history
from tests.simulator import faults
from tests.simulator.clocks import SettableClock
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

HEADING = "### Look here first"
QUICK = Policy(heartbeat_s=0.2, sweep_s=0.1)
WANTED = Policy(heartbeat_s=0.2, sweep_s=0.1, publish_ranking=True)


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


def repository(acme: Account, folder: Path, *, private: bool, name: str = "shop") -> Repository:
    return acme.repository(name, small_history(folder / f"{name}.git"), private=private)


def texts(repo: Repository) -> list[str]:
    return [run["output"]["text"] or "" for run in repo.check_runs]


def shown(repo: Repository) -> list[bool]:
    """Whether each check run says where to look first."""
    return [HEADING in text for text in texts(repo)]


def ask_again(app: RunningApp, repo: Repository) -> None:
    before = len(repo.check_runs)
    app.hear(repo.check_runs[-1].rerequest("ann"))
    app.until("the run that was asked for again", lambda: len(repo.check_runs) > before)
    app.until_idle()


def test_a_private_repository_is_told_and_a_public_one_is_not(tmp_path: Path, app: RunningApp, acme: Account) -> None:
    hidden = repository(acme, tmp_path, private=True, name="hidden")
    public = repository(acme, tmp_path, private=False, name="public")
    installation = app.registered.install(acme, [hidden, public])
    app.until("both verdicts", lambda: hidden.check_runs and public.check_runs)
    app.until_idle()
    assert (shown(hidden), shown(public)) == ([True], [False])
    (said,) = texts(hidden)
    assert said.startswith(HEADING)
    assert "`f0` in `src/m0.py:1`: touched " in said
    assert "f0" not in texts(public)[0] + public.check_runs[0]["output"]["summary"]
    assert newest(app, installation, public).ranking is None  # nor is it made: nobody would see it


def test_a_public_repository_is_told_where_the_operator_wants_it(tmp_path: Path, github: GitHub, acme: Account) -> None:
    public = repository(acme, tmp_path, private=False)
    with running_app(tmp_path / "app", github, policy=WANTED) as app:
        app.registered.install(acme, [public])
        app.until("the verdict", lambda: public.check_runs)
    assert shown(public) == [True]


def test_a_ranking_made_while_private_is_taken_off_when_the_repository_becomes_public(
    tmp_path: Path, app: RunningApp, acme: Account
) -> None:
    shop = repository(acme, tmp_path, private=True)
    installation = app.registered.install(acme, [shop])
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()
    first = newest(app, installation, shop)
    assert first.ranking is not None
    app.hear(shop.publicize())
    app.until("its successor", lambda: len(shop.check_runs) == 2)
    app.until_idle()
    assert shown(shop) == [True, False]
    assert shop.check_runs[0]["head_sha"] == shop.check_runs[1]["head_sha"]
    kept = newest(app, installation, shop)
    assert (kept.screening_id, kept.ranking) == (first.screening_id, None)
    ask_again(app, shop)
    app.hear(shop.privatize())
    ask_again(app, shop)
    assert shown(shop) == [True, False, False, False]  # until it is measured again


def test_it_is_left_out_before_the_delivery_that_tells_of_publishing_has_come(
    tmp_path: Path, github: GitHub, app: RunningApp, acme: Account
) -> None:
    shop = repository(acme, tmp_path, private=True)
    installation = app.registered.install(acme, [shop])
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()
    shop.private = False  # and nobody is told
    ask_again(app, shop)
    assert shown(shop) == [True, False]
    assert newest(app, installation, shop).ranking is not None


def test_a_push_carries_it_only_while_the_repository_is_private(
    tmp_path: Path, github: GitHub, app: RunningApp, acme: Account
) -> None:
    shop = repository(acme, tmp_path, private=True)
    app.registered.install(acme, [shop])
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()
    for years in (4.2, 4.4):
        before = len(shop.check_runs)
        github.clock.advance(timedelta(hours=2))  # type: ignore[attr-defined]
        small_history(shop.git_dir, years)
        app.hear(shop.pushed())
        app.until_idle()
        github.clock.advance(61)  # type: ignore[attr-defined]
        app.until_idle()
        assert len(shop.check_runs) == before + 1
        shop.private = False
    assert shown(shop) == [True, True, False]
    assert shop.check_runs[2]["head_sha"] == shop.head()


def test_without_an_answer_whether_it_is_private_nothing_is_posted(
    tmp_path: Path, github: GitHub, app: RunningApp, acme: Account
) -> None:
    shop = repository(acme, tmp_path, private=True)
    app.registered.install(acme, [shop])
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()
    asked = github.fault(f"GET /repos/{shop.full_name}", faults.status(500), times=1)
    app.hear(shop.check_runs[-1].rerequest("ann"))
    app.until("asked", lambda: asked.met)
    app.until_idle()
    github.clock.advance(timedelta(minutes=30))  # type: ignore[attr-defined]
    app.until("the second", lambda: len(shop.check_runs) == 2)


def test_a_screening_of_an_earlier_release_is_posted_as_it_is(tmp_path: Path, app: RunningApp, acme: Account) -> None:
    shop = repository(acme, tmp_path, private=True)
    app.registered.install(acme, [shop])
    app.until("the verdict", lambda: shop.check_runs)
    app.until_idle()

    async def forget() -> None:
        async with app.database.write() as connection:
            await connection.execute(text("UPDATE screenings SET ranking = NULL"))

    app.call(forget())
    ask_again(app, shop)
    assert shown(shop) == [True, False]
    assert texts(shop)[1] == texts(shop)[0][-len(texts(shop)[1]) :]
