from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.evaluate import evaluate_source
from bot.cli.rank import Level, Scorer, rank
from pipeline.mining.past import FunctionPast
from pipeline.ranking.baseline import TERMS, Baseline
from pipeline.ranking.competitors import competitors
from pipeline.records import AssayError
from tests.builders.history import History
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_material import BEFORE, HORIZON, TRAINING
from tests.pipeline.reports.doc_tables import table


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    return str(long_history([*BEFORE, *TRAINING, *HORIZON]).write(tmp_path / "shop.git"))


def evaluated(source: str, capsys: pytest.CaptureFixture[str], as_of: str | None = None) -> dict[str, Any]:
    evaluate_source(source, as_of, 1, True)
    out = json.loads(capsys.readouterr().out)
    assert isinstance(out, dict)
    return out


def ranked(source: str, capsys: pytest.CaptureFixture[str], level: Level, top: int = 3) -> dict[str, Any]:
    rank(source, None, level, Scorer.baseline, top, 1, True)
    out = json.loads(capsys.readouterr().out)
    assert isinstance(out, dict)
    return out


def test_every_scorer_is_in_the_json_with_its_n(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluated(repository, capsys)
    assert (result["repo"], result["conclusive"]) == ("shop", False)
    assert result["functions"]["n"] == 32
    assert result["reasons"][0] == "32 held-out functions: at least 200 are needed, some 500 functions in all"
    baseline, *others = result["functions"]["scorers"]
    assert (baseline["name"], baseline["against_baseline"]) == ("baseline", None)
    assert all(-1 <= row["rho"] <= 1 and row["against_baseline"] is not None for row in others)
    assert [row["name"] for row in result["files"]["scorers"]][:2] == ["baseline", "size"]


def test_the_same_is_said_again_from_what_is_remembered(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = evaluated(repository, capsys), evaluated(repository, capsys)
    costs = ("seconds", "peak_rss_mb")
    assert {k: v for k, v in first.items() if k not in costs} == {k: v for k, v in second.items() if k not in costs}


def test_a_person_sees_n_and_the_reasons_with_every_table(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_source(repository, None, 1, False)
    shown = capsys.readouterr().out
    assert "INCONCLUSIVE" in shown
    assert "32 held-out functions, " in shown
    assert "10 files, " in shown
    assert shown.count("baseline ") >= 2


def test_a_history_of_one_commit_gives_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    history = History()
    history.commit("start", {"[red]a.py": "def f(x):\n    y = x\n    return y\n"})
    source = str(history.write(tmp_path / "one.git"))
    result = evaluated(source, capsys)
    assert not result["conclusive"]
    assert {row["rho"] for row in result["functions"]["scorers"]} == {None}
    assert ranked(source, capsys, Level.function)["items"][0]["reasons"] == ["3 lines"]
    evaluate_source(source, None, 1, False)
    rank(source, None, Level.function, Scorer.baseline, 3, 1, False)
    assert "[red]a.py:1" in capsys.readouterr().out


def test_before_the_first_commit_there_is_nothing_to_evaluate(repository: str) -> None:
    with pytest.raises(AssayError, match="choose a later --as-of"):
        evaluate_source(repository, "1999-01-01", 1, True)


def test_the_ranking_lists_the_riskiest_with_reasons(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = ranked(repository, capsys, Level.function)
    assert (result["level"], result["scorer"], result["ranked"], len(result["items"])) == (
        "function", "baseline", 80, 3
    )  # fmt: skip
    scores = [item["score"] for item in result["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(item["reasons"] for item in result["items"])
    assert ranked(repository, capsys, Level.file, 50)["ranked"] == 10
    rank(repository, None, Level.file, Scorer.baseline, 2, 1, False)
    assert "2 of 10 files, riskiest first" in capsys.readouterr().out


# -- the pages say what the commands do

KINDS = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}


def kinds(*found: dict[str, Any]) -> dict[str, set[str]]:
    return {name: {KINDS[type(one[name])] for one in found} for name in found[0]}


def documented(heading: str) -> dict[str, set[str]]:
    return {name: set(kind.split(" or ")) for name, kind, _ in table("json.md", heading)}


def test_the_page_documents_every_field(repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = History()
    history.commit("start", {"README": "nothing to rank"})
    empty = str(history.write(tmp_path / "empty.git"))
    full, nothing = evaluated(repository, capsys), evaluated(empty, capsys)
    assert documented("## `assay evaluate`") == kinds(full, nothing)
    tables = [full["functions"], nothing["functions"]]
    assert documented("### Fields of `functions` and `files`") == kinds(*tables)
    rows = [row for found in tables for row in found["scorers"]]
    assert documented("### Fields of a scorer") == kinds(*rows)
    assert documented("### Fields of `against_baseline`") == kinds(
        *(r["against_baseline"] for r in rows[1:6] + rows[7:])
    )
    result = ranked(repository, capsys, Level.function)
    assert documented("## `assay rank`") == kinds(result, ranked(empty, capsys, Level.file))
    assert documented("### Fields of an item") == kinds(*result["items"])


def test_the_page_lists_the_terms_of_the_baseline_what_is_known_and_who_is_compared() -> None:
    terms = [[term.name, f"{term.weight:g}", f"{term.cap:g}"] for term in TERMS]
    assert table("ranking.md", "## The baseline") == terms
    known = [name for name, _ in table("ranking.md", "## What is known of a function")]
    assert known == list(FunctionPast.__dataclass_fields__)
    compared = [name for name, _ in table("ranking.md", "## The holdout")]
    assert compared == [Baseline.name, *(rival.name for rival in competitors())]
