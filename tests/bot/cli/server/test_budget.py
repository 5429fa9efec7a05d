"""`assay budget` as an operator uses it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.cli import errors
from bot.cli.main import _load
from bot.records import Installation, Repository
from bot.store.budgets import load_budget, load_gpu_state, month_of, save_gpu_state
from bot.store.database import Database
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from bot.store.runs import RunRequest, open_run, queue_run
from tests.builders.databases import create_database

NOW = datetime.now(UTC)


def assay(*args: str) -> int:
    """One command line of `assay budget`."""
    command = _load("budget", "bot.cli.server.budget:app")
    return errors.handled(lambda: command.main([*args], standalone_mode=False), list(args))


def ask(question: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        database = await Database.open(f"sqlite:///{Path(os.environ['ASSAY_DATA_DIR']) / 'assay.sqlite'}")
        async with database.write() as connection:
            answer = await question(connection)
        await database.close()
        return answer

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two installations; one of them has a run that waits with 12.5 minutes reserved."""
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    create_database(f"sqlite:///{tmp_path / 'assay.sqlite'}")

    async def fill(connection: Any) -> None:
        for number, login in ((7, "Acme"), (8, "zoo")):
            await save_installation(connection, Installation(number, 70, login, "Organization", "active", {}), NOW)
        await save_repository(connection, Repository(7, 1, "Acme/shop", "main", private=False, archived=False))
        request = RunRequest(purpose="judge", head_sha="a" * 40, base_model="m", recipe={}, label_recipe_id="l")
        run, _ = await open_run(connection, 7, 1, request, NOW)
        await queue_run(connection, run, pair_set_id="f" * 64, minutes=12.5, month=month_of(NOW), now=NOW)

    ask(fill)


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert assay(*args, "--json") == 0
    return dict(json.loads(capsys.readouterr().out))


def test_budgets_are_shown_with_reservations_and_off_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    result = shown(capsys, "show")
    assert result["month"] == month_of(NOW)
    acme = {
        "installation": "Acme",
        "installation_id": 7,
        "monthly_minutes": None,
        "concurrency": None,
        "spent": 0.0,
        "reserved": 12.5,
        "left": None,
    }
    assert result["installations"][0] == acme
    assert result["server"] == {"ceiling_minutes": None, "spent": 0.0, "reserved": 12.5, "left": None}
    assert assay("show") == 0
    assert "Acme" in (out := capsys.readouterr().out)
    assert "off" in out


def test_a_budget_is_set_changed_and_removed_by_login_ignoring_case(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = shown(capsys, "set", "ACME", "--minutes", "100")["installations"]
    assert (row["monthly_minutes"], row["concurrency"], row["left"]) == (100.0, 1, 87.5)
    (row,) = shown(capsys, "set", "acme", "--minutes", "10", "--concurrency", "3")["installations"]
    assert (row["monthly_minutes"], row["concurrency"], row["left"]) == (10.0, 3, 0.0)
    assert ask(lambda c: load_budget(c, 8)) is None
    (row,) = shown(capsys, "remove", "acme")["installations"]
    assert row["monthly_minutes"] is None
    assert ask(lambda c: load_budget(c, 7)) is None


def test_a_single_installation_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert [row["installation"] for row in shown(capsys, "show", "--installation", "ZOO")["installations"]] == ["zoo"]


def test_the_whole_server_is_limited_and_the_limit_removed(capsys: pytest.CaptureFixture[str]) -> None:
    async def pause(connection: Any) -> None:
        state = await load_gpu_state(connection)
        await save_gpu_state(connection, type(state)("a pause", state.ceiling_minutes))

    ask(pause)
    assert shown(capsys, "set", "--everybody", "--minutes", "50")["server"]["left"] == 37.5
    assert assay("show") == 0
    assert "total limit 50, 37.5 left" in capsys.readouterr().out
    assert shown(capsys, "set", "--everybody", "--none")["server"]["ceiling_minutes"] is None
    assert ask(load_gpu_state).paused_because == "a pause"


def test_invalid_options_are_one_line(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[str], str]] = [
        (["set", "--minutes", "5"], "either the LOGIN of an account or --everybody"),
        (["set", "acme", "--everybody", "--minutes", "5"], "either the LOGIN of an account or --everybody"),
        (["set", "acme"], "missing --minutes"),
        (["set", "acme", "--none"], "--none removes the total limit"),
        (["set", "--everybody", "--none", "--minutes", "5"], "--none removes"),
        (["set", "acme", "--minutes", "0"], "above 0"),
        (["set", "acme", "--minutes", "nan"], "above 0"),
        (["set", "acme", "--minutes", "-1"], "above 0"),
        (["set", "nobody", "--minutes", "5"], "not installed on nobody; accounts with an installation: Acme, zoo"),
        (["remove", "zoo"], "has no budget"),
        (["show", "--installation", "nobody"], "not installed on nobody"),
    ]
    for args, said in cases:
        with subtests.test(args=args, said=said):
            assert assay(*args) == 2
            captured = capsys.readouterr()
            assert said in captured.err
            assert captured.err.count("\n") == 1
            assert ask(lambda c: load_budget(c, 7)) is None
