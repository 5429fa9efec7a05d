from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.local.evaluate import evaluate_source
from bot.cli.local.rank import Level, rank
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.baseline import TERMS, Baseline
from pipeline.ranking.competitors import competitors
from pipeline.records import AssayError
from tests.bot.cli.adapters import adapter
from tests.builders.history import History
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING
from tests.pipeline.reports.doc_tables import table


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    return str(long_history([*BEFORE, *TRAINING, *HORIZON]).write(tmp_path / "shop.git"))


def evaluated(source: str, capsys: pytest.CaptureFixture[str], as_of: str | None = None) -> dict[str, Any]:
    evaluate_source(source, as_of, jobs=1, as_json=True)
    out = json.loads(capsys.readouterr().out)
    assert isinstance(out, dict)
    return out


def ranked(source: str, capsys: pytest.CaptureFixture[str], level: Level, top: int = 3) -> dict[str, Any]:
    rank(source, level=level, top=top, jobs=1, as_json=True)
    out = json.loads(capsys.readouterr().out)
    assert isinstance(out, dict)
    return out


def test_every_scorer_is_in_the_json_with_its_n(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluated(repository, capsys)
    assert (result["repo"], result["conclusive"]) == ("shop", False)
    assert result["functions"]["n"] == 32
    assert result["reasons"][0] == "32 held-out functions: at least 200 are needed, about 500 functions in all"
    baseline, *others = result["functions"]["scorers"]
    assert (baseline["name"], baseline["against_baseline"]) == ("baseline", None)
    assert all(-1 <= row["rho"] <= 1 and row["against_baseline"] is not None for row in others)
    assert [row["name"] for row in result["files"]["scorers"]][:2] == ["baseline", "size"]


def test_the_result_is_the_same_from_cached_facts(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = evaluated(repository, capsys), evaluated(repository, capsys)
    costs = ("seconds", "peak_rss_mb")
    assert {k: v for k, v in first.items() if k not in costs} == {k: v for k, v in second.items() if k not in costs}


def test_every_table_shows_n_and_reasons(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_source(repository, jobs=1)
    shown = capsys.readouterr().out
    assert "INCONCLUSIVE" in shown
    assert "32 held-out functions, " in shown
    assert "10 files, " in shown
    assert shown.count("baseline ") >= 2


def test_a_history_of_one_commit_is_evaluated(
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
    evaluate_source(source, jobs=1)
    rank(source, top=3, jobs=1)
    assert "[red]a.py:1" in capsys.readouterr().out


def test_before_the_first_commit_there_is_nothing_to_evaluate(repository: str) -> None:
    with pytest.raises(AssayError, match="choose a later --as-of"):
        evaluate_source(repository, "1999-01-01", jobs=1, as_json=True)


def test_the_ranking_lists_the_riskiest_with_reasons(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = ranked(repository, capsys, Level.function)
    assert (result["level"], result["scorer"], result["ranked"], len(result["items"])) == (
        "function", "baseline", 80, 3
    )  # fmt: skip
    scores = [item["score"] for item in result["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(item["reasons"] for item in result["items"])
    assert ranked(repository, capsys, Level.file, 50)["ranked"] == 10
    rank(repository, level=Level.file, top=2, jobs=1)
    assert "2 of 10 files, riskiest first" in capsys.readouterr().out


def test_a_page_is_written_in_addition(repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    evaluate_source(repository, jobs=1, html=page, as_json=True)
    result = json.loads(capsys.readouterr().out)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "32 held-out functions: at least 200 are needed" in text
    assert f"{result['functions']['scorers'][0]['rho']:.3f}".removeprefix("-") in text
    assert all(row["name"] in text for row in result["functions"]["scorers"])


def test_a_page_may_go_to_stdout_and_nothing_else_does(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_source(repository, jobs=1, html=Path("-"))
    out = capsys.readouterr().out
    assert (out[:15], out[-8:]) == ("<!DOCTYPE html>", "</html>\n")


def test_an_unwritable_page_is_refused_before_the_work(repository: str, tmp_path: Path) -> None:
    with pytest.raises(
        AssayError, match=r"^--html .*/none/page\.html: cannot write page\.html: the folder .*/none does"
    ):
        evaluate_source(repository, jobs=1, html=tmp_path / "none" / "page.html")
    with pytest.raises(AssayError, match="nowhere does not exist"):
        evaluate_source(str(tmp_path / "nowhere"), jobs=1, html=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_baseline_may_be_named_and_is_judged_once(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_source(repository, scorer=["baseline"], jobs=1, as_json=True)
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["functions"]["scorers"]]
    assert names == [row["name"] for row in evaluated(repository, capsys)["functions"]["scorers"]]


def test_an_adapter_is_judged_beside_all_others(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(adapter(tmp_path, monkeypatch))
    evaluate_source(repository, scorer=[folder, folder], jobs=1, as_json=True)
    result = json.loads(capsys.readouterr().out)
    *others, last = result["functions"]["scorers"]
    assert last["name"] == "alphabet"
    assert [row["name"] for row in others] == ["baseline", *(rival.name for rival in competitors())]
    assert last["against_baseline"]["delta"] is not None


def test_a_folder_without_an_adapter_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="no adapter found"):
        evaluate_source(str(tmp_path / "nowhere"), scorer=[str(tmp_path)], jobs=1)


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
    return {name: set(kind.split(" or ")) for name, kind, _ in table("reference/json.md", heading)}


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
    assert table("concepts/ranking.md", "## The baseline") == terms
    known = [name for name, _ in table("concepts/ranking.md", "## What is known of a function")]
    assert known == list(ProcessMetrics.__dataclass_fields__)
    compared = [name for name, _ in table("concepts/ranking.md", "## The holdout")]
    assert compared == [Baseline.name, *(rival.name for rival in competitors())]
