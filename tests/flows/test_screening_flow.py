"""From an installation to check runs: the real receiver, worker, child processes and store against the local GitHub."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bot.records import StoredScreening
from bot.store.screenings import newest_screening
from tests.builders.history import History
from tests.builders.running_app import RunningApp, running_app
from tests.simulator.apps import Installation
from tests.simulator.clocks import SettableClock
from tests.simulator.github import serve_github
from tests.simulator.repositories import Repository

FUNCTION = "def f{n}(x):\n    y = x + {v}\n    return y\n"
TABLES = ("repositories", "screenings", "check_runs", "content_writes", "deliveries", "jobs", "installations")


def small_history(path: Path, years: float = 4) -> Path:
    """A few functions, fixed now and then over some years."""
    history = History()
    names = [f"src/m{n}.py" for n in range(6)]
    history.commit("start", {name: FUNCTION.format(n=n, v=0) for n, name in enumerate(names)}, day=0)
    for step in range(1, int(years * 12)):
        n = step % len(names)
        history.commit(f"fix: wrong sum in m{n}", {names[n]: FUNCTION.format(n=n, v=step)}, day=step * 30)
    shutil.rmtree(path, ignore_errors=True)
    return history.write(path)


def count(app: RunningApp, table: str, installation: Installation, repo: Repository | None = None) -> int:
    """Rows of an installation, or of one repository of it."""
    of_it = f"SELECT count(*) FROM {table} WHERE installation_id = {installation.installation_id}"
    if repo is not None:
        of_it += f" AND repository_id = {repo.repository_id}"

    async def ask(connection: Any) -> int:
        return int((await connection.execute(text(of_it))).scalar_one())

    return app.ask(ask)


def newest(app: RunningApp, installation: Installation, repo: Repository) -> StoredScreening:
    found = app.ask(lambda c: newest_screening(c, installation.installation_id, repo.repository_id))
    assert found is not None
    return found


def test_an_installation_gets_one_check_run_for_each_repository(tmp_path: Path) -> None:
    with serve_github(tmp_path / "github") as github, running_app(tmp_path / "app", github) as app:
        acme = github.account("acme", type="Organization")
        repositories = [
            acme.repository(name, git_dir=small_history(tmp_path / f"{name}.git", years))
            for name, years in (("shop", 4), ("till", 5), ("stock", 1))
        ]
        empty = acme.repository("empty")
        archived = acme.repository("old", git_dir=small_history(tmp_path / "old.git"), archived=True)
        installation = app.registered.install(acme, [*repositories, empty, archived])
        app.until("three check runs", lambda: all(repo.check_runs for repo in repositories))
        app.until_idle()
        for repo in repositories:
            (run,) = repo.check_runs
            assert (run["name"], run["head_sha"], run["status"]) == ("assay/screen", repo.head(), "completed")
            assert run["external_id"].startswith("assay/screen/")
        assert empty.check_runs == archived.check_runs == []
        assert count(app, "screenings", installation) == 3


def test_what_becomes_of_a_repository_after_its_first_verdict(tmp_path: Path) -> None:
    clock = SettableClock()
    with serve_github(tmp_path / "github", clock) as github, running_app(tmp_path / "app", github) as app:
        acme = github.account("acme", type="Organization")
        shop = acme.repository("shop", git_dir=small_history(tmp_path / "shop.git"))
        shop.roles.update(ann="maintain", bob="write")
        installation = app.registered.install(acme, [shop])
        app.until("the first verdict", lambda: len(shop.check_runs) == 1)
        app.until_idle()

        # A push is answered after a minute of quiet, with the verdict that there is.
        clock.advance(timedelta(hours=2))
        first = shop.head()
        small_history(tmp_path / "shop.git", 4.2)
        app.hear(shop.pushed())
        app.until_idle()
        assert len(shop.check_runs) == 1
        clock.advance(61)
        app.until("the carried verdict", lambda: len(shop.check_runs) == 2)
        app.until_idle()
        assert shop.head() != first
        assert shop.check_runs[-1]["head_sha"] == shop.head()
        assert f"measured at {str(first)[:7]}" in shop.check_runs[-1]["output"]["title"]
        assert count(app, "screenings", installation) == 1

        # "Re-run" shows the stored result again and measures nothing.
        app.hear(shop.check_runs[-1].rerequest("bob"))
        app.until("the run that was asked for again", lambda: len(shop.check_runs) == 3)
        app.until_idle()
        assert count(app, "screenings", installation) == 1

        # The button and the command measure again, for whoever maintains the repository.
        app.hear(shop.check_runs[-1].press("bob", "rescreen"))
        app.until_idle()
        assert count(app, "screenings", installation) == 1
        app.hear(shop.check_runs[-1].press("ann", "rescreen"))
        app.until("the second screening", lambda: count(app, "screenings", installation) == 2)
        app.until("its check run", lambda: len(shop.check_runs) == 4)
        comment = shop.comment("ann", "/screen")
        app.hear(github.deliveries[-1:])
        app.until("the third screening", lambda: count(app, "screenings", installation) == 3)
        app.until("its check run", lambda: len(shop.check_runs) == 5)
        assert [reaction["content"] for reaction in comment.reactions] == ["eyes", "rocket"]
        assert newest(app, installation, shop).head_sha == shop.head()

        # After the uninstallation nothing is left.
        folder = app.clones.folder(installation.installation_id, shop.repository_id)
        assert folder.is_dir()
        app.hear(installation.uninstall())
        app.until("no row", lambda: [count(app, table, installation) for table in TABLES] == [0] * len(TABLES))
        app.until("no folder", lambda: not folder.exists())
