from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.files import write_whole
from bot.cli.local.rank import Level, rank
from pipeline.records import AssayError
from tests.bot.cli.adapters import adapter
from tests.builders.history import History
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    return str(long_history([*BEFORE, *TRAINING, *HORIZON]).write(tmp_path / "shop.git"))


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out = json.loads(capsys.readouterr().out)
    assert isinstance(out, dict)
    return out


def results(log: dict[str, Any]) -> list[dict[str, Any]]:
    found = log["runs"][0]["results"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("level", [Level.function, Level.file])
def test_sarif_has_the_places_of_the_result(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], level: Level
) -> None:
    file = tmp_path / "ranking.sarif"
    rank(repository, level=level, top=4, jobs=1, sarif=file, as_json=True)
    items, log = answer(capsys)["items"], json.loads(file.read_text(encoding="utf-8"))
    regions = [result["locations"][0]["physicalLocation"] for result in results(log)]
    assert [(r["artifactLocation"]["uri"], r["region"]["startLine"], r["region"]["endLine"]) for r in regions] == [
        (item["path"], item["start_line"], item["end_line"]) for item in items
    ]
    assert {result["ruleId"] for result in results(log)} == {f"assay/look-here-first/{level.value}"}


def test_the_last_column_is_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    history = History()
    history.commit("start", {"a.py": "def f(x):\n    y = x\n    return 'größe'\n\nz = 1\n"})
    rank(str(history.write(tmp_path / "one.git")), jobs=1, sarif=Path("-"))
    (result,) = results(answer(capsys))
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 1, "endLine": 3, "endColumn": len("    return 'größe'") + 1}


def test_sarif_is_the_same_each_time_and_may_go_to_stdout(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ranking.sarif"
    rank(repository, jobs=1, sarif=file)
    assert "riskiest first" in capsys.readouterr().out
    rank(repository, jobs=1, sarif=Path("-"))
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")


def test_a_repository_without_a_function_has_an_empty_ranking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    history = History()
    history.commit("start", {"README": "nothing to rank"})
    rank(str(history.write(tmp_path / "empty.git")), jobs=1, sarif=Path("-"))
    assert results(answer(capsys)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sarif": Path("-"), "as_json": True}, "--sarif - and --json would both write to stdout"),
        ({"sarif": Path("none/ranking.sarif")}, "--sarif none/ranking.sarif: cannot write ranking.sarif: the folder"),
        ({"sarif": Path("/")}, "--sarif /: / is a folder: give the name of a file in it"),
        ({"sarif": Path("x.sarif"), "top": 25_001}, "--top 25001: GitHub takes at most 25,000 results"),
        ({"scorer": "no such folder"}, "--scorer no such folder: no such folder; give `baseline` or a folder"),
    ],
)
def test_invalid_options_are_refused_before_the_work(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(AssayError) as refused:
        rank(str(tmp_path / "nowhere"), jobs=1, **options)
    assert str(refused.value).startswith(words)


def test_an_older_file_stays_if_ranking_fails(tmp_path: Path) -> None:
    file = tmp_path / "ranking.sarif"
    write_whole(file, "older")
    with pytest.raises(AssayError):
        rank(str(tmp_path / "nowhere"), jobs=1, sarif=file)
    assert file.read_text() == "older"


def test_functions_without_a_score_are_counted_but_not_listed(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(adapter(tmp_path, monkeypatch, partly=True))
    rank(repository, scorer=folder, top=100, jobs=1, as_json=True)
    result = answer(capsys)
    assert (result["scorer"], result["ranked"], result["without_score"], len(result["items"])) == (
        "alphabet", 80, 8, 72
    )  # fmt: skip
    assert "m0.py" not in {item["path"] for item in result["items"]}
    rank(repository, scorer=folder, level=Level.file, top=100, jobs=1)
    assert "Not listed: 1 without a score by alphabet" in capsys.readouterr().out
    rank(repository, scorer=folder, top=100, jobs=1, sarif=Path("-"))
    assert len(results(answer(capsys))) == 72
