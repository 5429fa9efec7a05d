from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.cli.main import run
from tests.builders.code import module
from tests.builders.history import History

RIGHT = "fix_patterns: ['^CRASH-']\nfinetune:\n  max_minutes: 90\n"
WRONG = RIGHT + "bug_label: [x]\npermission: owner\n"


def written(folder: Path, text: str) -> str:
    file = folder / "assay.yml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_valid_keys_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", written(tmp_path, RIGHT)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("assay.yml: 2 keys apply, no problems")
    assert [line.split() for line in shown[1:3]] == [["fix_patterns", "^CRASH-"], ["finetune.max_minutes", "90"]]
    assert shown[3].startswith("  changes labels (configuration hash ")


def test_every_problem_is_shown_with_its_line_and_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "check", written(tmp_path, WRONG)]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-2:] == [
        "  line 4, bug_label: unknown key (closest: bug_labels)",
        "  line 5, permission: must be one of write, maintain, admin, not 'owner'",
    ]
    assert err == ""


def test_json_has_valid_keys_and_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", written(tmp_path, WRONG), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], len(told["config_hash"])) == (False, 12)
    assert told["applies"]["fix_patterns"] == ["^CRASH-"]
    assert told["applies"]["finetune.max_minutes"] == 90
    assert told["applies"]["permission"] is None
    assert told["problems"][0] == {
        "line": 4,
        "key": "bug_label",
        "message": "unknown key (closest: bug_labels)",
    }


def test_control_characters_in_a_file_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = 'bug_labels: ["\\e[31mred\\u202e"]\n"\\e[2J": 1\n'
    assert run(["config", "check", written(tmp_path, hostile)]) == 2
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", str(tmp_path / "none.yml")]) == 2
    assert "cannot read" in capsys.readouterr().err


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A history in which bugs are called CRASH-n, and only one commit says fix."""
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    history = History()
    history.commit("start", {"a.py": module("1", "1"), "tests/b.py": module("1")}, day=0)
    history.commit("CRASH-7: count again", {"a.py": module("2", "1")}, day=700)
    history.commit("fix: draw a screen", {"a.py": module("2", "2")}, day=800)
    history.commit("head", {"README": "x"}, day=1643)
    return str(history.write(tmp_path / "repo.git"))


def test_a_screening_applies_the_configuration_and_reports_it(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def screened(*options: str) -> dict[str, object]:
        assert run(["screen", repository, "--jobs", "1", "--json", *options]) == 0
        told: dict[str, object] = json.loads(capsys.readouterr().out)
        return told

    without = screened()
    own = screened("--config", written(tmp_path, RIGHT))
    assert (without["fix_commits"], own["fix_commits"]) == (1, 2)
    assert (without["config_hash"], without["label_recipe_id"]) == ("", own["label_recipe_id"])
    assert len(str(own["config_hash"])) == 12
    assert "Measured with this repository's own configuration." in str(own["reasons"])
    assert "own configuration" not in str(without["reasons"])
    again = screened()
    assert {**again, "seconds": 0, "peak_rss_mb": 0} == {**without, "seconds": 0, "peak_rss_mb": 0}


def test_a_mistake_in_the_configuration_is_a_warning_and_the_rest_applies(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["screen", repository, "--jobs", "1", "--json", "--config", written(tmp_path, WRONG)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["fix_commits"] == 2
    assert [line.partition("assay.yml, ")[2] for line in err.splitlines()] == [
        "line 4, bug_label: unknown key (closest: bug_labels)",
        "line 5, permission: must be one of write, maintain, admin, not 'owner'",
    ]


@pytest.mark.parametrize("command", ["evaluate", "rank", "pairs"])
def test_every_command_that_mines_takes_the_configuration(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    own = written(tmp_path, "fix_patterns: ['^CRASH-']\ninclude: ['tests/**']\n")
    more = ["--out", str(tmp_path / "pairs.parquet")] if command == "pairs" else []

    def told(*options: str) -> dict[str, object]:
        assert run([command, repository, "--jobs", "1", "--json", *more, *options]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    without, measured = told(), told("--config", own)
    assert (without["config_hash"], len(str(measured["config_hash"]))) == ("", 12)
    counted = {"evaluate": "learned_from", "rank": "ranked", "pairs": "holdout"}[command]
    if command != "evaluate":  # which holds out what it includes
        assert int(str(measured[counted])) > int(str(without[counted]))
