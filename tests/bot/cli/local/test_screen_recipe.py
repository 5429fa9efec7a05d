"""`assay screen --recipe`: measure under another label recipe before adopting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import run
from pipeline.label_recipe import MESSAGES, MESSAGES_1
from tests.builders.code import module
from tests.builders.history import History


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Four files, of which one is fixed every other month."""
    history = History()
    history.commit("start", {f"m{n}.py": module("0", "0") for n in range(4)}, day=0)
    for number in range(1, 8):
        history.commit("fix: count again", {f"m{number % 4}.py": module(str(number), "0")}, day=520 + 60 * number)
    history.commit("head", {"README": "x"}, day=1_500)
    return history.write(tmp_path / "shop.git")


def screened(shop: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run(["screen", str(shop), "--jobs", "1", "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_recipe_that_is_named_measures_and_nothing_is_adopted(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert screened(shop, capsys, "--recipe", MESSAGES_1.name)["label_recipe_id"] == MESSAGES_1.id
    assert screened(shop, capsys)["label_recipe_id"] == MESSAGES.id


def test_a_dry_run_of_adopting_it_compares_both(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def dry_run() -> dict[str, Any]:
        assert run(["calibration", "adopt", "--recipe", MESSAGES_1.name, "--dry-run", "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    before = screened(shop, capsys)
    assert dry_run()["not_measured"] == [before["repo"]]
    screened(shop, capsys, "--recipe", MESSAGES_1.name)
    assert dry_run()["not_measured"] == []


def test_a_server_pinned_to_the_first_rules_goes_on_with_them(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = screened(shop, capsys, "--recipe", MESSAGES_1.name)
    assert run(["calibration", "adopt", "--recipe", MESSAGES_1.name]) == 0
    capsys.readouterr()
    pinned = screened(shop, capsys)
    measured = ("label_recipe_id", "density", "threshold", "band", "verdict", "pairs", "fix_commits")
    assert [pinned[key] for key in measured] == [named[key] for key in measured]


@pytest.mark.parametrize(
    ("name", "message"),
    [("messages-3", "--recipe must be messages/2 or"), ("messages+api", "it takes a --github-token")],
)
def test_a_recipe_that_cannot_measure_is_an_error(
    shop: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert run(["screen", str(shop), "--recipe", name]) == 2
    assert message in capsys.readouterr().err
