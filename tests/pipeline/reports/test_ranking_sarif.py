from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sarif import loader
from sarif.operations import summary_op

from pipeline.ranking.rank import Ranked
from pipeline.reports.ranking_sarif import (
    MAX_RESULTS,
    Located,
    Ranking,
    end_column,
    ranking_sarif,
    uri_of,
)

HEAD = "5ca1ab1e" * 5
RANKING = Ranking("function", 1_234, "baseline", HEAD, 1_700_000_000, "142be1735dd3")
REASONS = ("touched 14 times in a year by 5 people", "3 fixes in two years", "complexity 23")


def place(**changes: Any) -> Located:
    known = {"ordinal": changes.pop("ordinal", 0), "end_column": changes.pop("end_column", 2)}
    return Located(replace(Ranked("src/a.py", "Cart.total", 10, 42, 7.5, REASONS), **changes), **known)


PLACES = [place(), place(path="src/b c.py", qualified_name="pay", start_line=3, end_line=5, score=4.25)]


def log(places: list[Located] | None = None, **changes: Any) -> dict[str, Any]:
    return ranking_sarif(PLACES if places is None else places, replace(RANKING, **changes), version="1.2.3")


def run_of(found: dict[str, Any]) -> dict[str, Any]:
    (run,) = found["runs"]
    assert isinstance(run, dict)
    return run


def results(*args: Any, **changes: Any) -> list[dict[str, Any]]:
    found = run_of(log(*args, **changes))["results"]
    assert isinstance(found, list)
    return found


# -- what GitHub's page "SARIF support for code scanning" calls required or makes use of, and how it bounds it

REQUIRED_OF_A_RULE = ("id", "shortDescription.text", "fullDescription.text", "help.text")
USED_OF_A_RULE = (
    "name", "help.markdown", "defaultConfiguration.level", "properties.tags", "properties.precision",
)  # fmt: skip
REQUIRED_OF_A_RESULT = ("message.text", "locations", "partialFingerprints.primaryLocationLineHash")
USED_OF_A_RESULT = ("ruleId", "ruleIndex", "level")
REQUIRED_OF_A_PLACE = (
    "artifactLocation.uri", "region.startLine", "region.startColumn", "region.endLine", "region.endColumn",
)  # fmt: skip


def at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("level", ["function", "file"])
def test_every_field_that_github_requires_or_uses_is_present(level: Any) -> None:
    found = log(level=level)
    assert found["$schema"] == "https://json.schemastore.org/sarif-2.1.0.json"
    assert found["version"] == "2.1.0"
    run = run_of(found)
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"], driver["semanticVersion"]) == ("Assay", "1.2.3", "1.2.3")
    for rule in driver["rules"]:
        assert all(at(rule, path) for path in (*REQUIRED_OF_A_RULE, *USED_OF_A_RULE))
        assert rule["properties"]["problem.severity"] == "recommendation"
        assert len(rule["name"]) <= 255
        assert max(len(rule["shortDescription"]["text"]), len(rule["fullDescription"]["text"])) <= 1_024
        assert len(rule["properties"]["tags"]) <= 10
    for result in run["results"]:
        assert all(at(result, path) not in ("", None, []) for path in (*REQUIRED_OF_A_RESULT, *USED_OF_A_RESULT))
        (location,) = result["locations"]
        assert all(at(location["physicalLocation"], path) for path in REQUIRED_OF_A_PLACE)
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == f"assay/look-here-first/{level}"
    assert run["automationDetails"]["id"] == f"assay/rank/{level}/"


def test_a_ranking_is_a_note_that_states_it_found_no_defect() -> None:
    driver = run_of(log())["tool"]["driver"]
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} == {"note"}
    assert all("has found no defect" in rule["fullDescription"]["text"] for rule in driver["rules"])
    assert not any("security-severity" in rule["properties"] for rule in driver["rules"])
    for result in results():
        assert result["level"] == "note"
        assert "no defect was found here" in result["message"]["text"]


def test_a_message_names_the_place_and_the_reasons() -> None:
    first, second = results()
    assert first["message"]["text"].startswith(
        "Look here first (1 of 1,234 functions): Cart.total: touched 14 times in a year by 5 people, 3 fixes in two "
        "years, complexity 23. "
    )
    assert "(2 of 1,234 functions): pay: " in second["message"]["text"]
    (file, _) = results(level="file", ranked=56)
    assert "(1 of 56 files): src/a.py, especially Cart.total: " in file["message"]["text"]


def test_results_are_in_ranking_order_with_their_scores() -> None:
    found = results()
    assert [result["properties"]["place"] for result in found] == [1, 2]
    assert [result["properties"]["score"] for result in found] == [7.5, 4.25]
    assert [result["rank"] for result in found] == [100, 100 * 1_233 / 1_234]


def test_a_region_spans_the_whole_function() -> None:
    first, _ = results()
    region = first["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 10, "startColumn": 1, "endLine": 42, "endColumn": 2}


def test_a_line_ends_after_its_last_character_counted_as_utf_16() -> None:
    cases: list[tuple[bytes, int, int]] = [
        (b"ab\ncde\n}", 2, 4),
        (b"ab\ncde\n}", 3, 2),
        (b"ab\r\ncde\r\n", 2, 4),
        ("ä€\n".encode(), 1, 3),
        ("😀\n".encode(), 1, 3),
        (b"a\xff\n", 1, 3),
        (b"a\n\n", 2, 1),
        (b"a", 7, 1),
        (b"", 0, 1),
    ]
    wrong = [(code, line, got, column) for code, line, column in cases if (got := end_column(code, line)) != column]
    assert wrong == []


# -- fingerprints


def fingerprint(located: Located, level: Any = "function") -> str:
    (result,) = results([located], level=level)
    found = result["partialFingerprints"]["primaryLocationLineHash"]
    assert re.fullmatch(r"[0-9a-f]{16}:\d+", found)
    return str(found)


def test_a_function_keeps_its_fingerprint_when_it_moves_in_file_or_ranking() -> None:
    moved = place(start_line=99, end_line=140, score=1.0, reasons=("90 lines",), end_column=7)
    assert fingerprint(place()) == fingerprint(moved)
    first, *_ = results([place(), moved], ranked=2, scorer="another")
    assert first["partialFingerprints"]["primaryLocationLineHash"] == fingerprint(place())


@pytest.mark.parametrize("other", [{"path": "src/z.py"}, {"qualified_name": "Cart.sum"}, {"ordinal": 1}])
def test_another_function_has_another_fingerprint(other: dict[str, Any]) -> None:
    assert fingerprint(place(**other)) != fingerprint(place())


def test_a_file_keeps_its_fingerprint_when_its_riskiest_function_changes() -> None:
    assert fingerprint(place(), "file") == fingerprint(place(qualified_name="other", ordinal=3), "file")
    assert fingerprint(place(), "file") != fingerprint(place(path="src/z.py"), "file")
    assert fingerprint(place(), "file") != fingerprint(place(), "function")


# -- addresses


def test_a_path_is_written_as_a_relative_reference() -> None:
    cases: list[tuple[str, str]] = [
        ("src/main.js", "src/main.js"),
        ("a b/c#d?e%f.py", "a%20b/c%23d%3Fe%25f.py"),
        ("c:/x.py", "c%3A/x.py"),
        ("src/größe.py", "src/gr%C3%B6%C3%9Fe.py"),
        ("[id].ts", "%5Bid%5D.ts"),
        ("\\xff.py", "%5Cxff.py"),
    ]
    wrong = [(path, got, uri) for path, uri in cases if (got := uri_of(path)) != uri]
    assert wrong == []


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda path: not path.startswith("/")))
def test_a_reference_decodes_to_the_path(path: str) -> None:
    parts = urlsplit(uri_of(path))
    assert unquote(parts.path) == path
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")


def test_the_repository_is_named_if_its_address_is_known() -> None:
    assert "versionControlProvenance" not in run_of(log())
    (source,) = run_of(log(repository_uri="https://github.com/shop/cart"))["versionControlProvenance"]
    assert (source["repositoryUri"], source["revisionId"]) == ("https://github.com/shop/cart", HEAD)
    assert run_of(log())["properties"]["head_sha"] == HEAD
    assert run_of(log())["properties"]["as_of"] == "2023-11-14T22:13:20Z"


# -- whatever a repository holds


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("operator{0}", "operator{{0}}"),
        ("[a](https://example.org)", "[a] (https://example.org)"),
        ("a\u202eb\x1b[2Jc", "a\\u202eb\\x1b[2Jc"),
    ],
)
def test_names_are_escaped(name: str, shown: str) -> None:
    (result,) = results([place(qualified_name=name)])
    assert f": {shown}: touched" in result["message"]["text"]


@given(st.text(st.characters(), min_size=1), st.sampled_from(["function", "file"]))
def test_any_name_and_path_survive_strict_json(text: str, level: Any) -> None:
    found = log([place(path=text, qualified_name=text, reasons=(text,))], level=level)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_file_is_deterministic() -> None:
    assert json.dumps(log()) == json.dumps(log())


def test_an_empty_ranking_gives_no_results() -> None:
    assert results([], ranked=0) == []


def test_more_results_than_github_accepts_are_rejected() -> None:
    assert len(results([place()] * MAX_RESULTS, ranked=MAX_RESULTS)) == MAX_RESULTS
    with pytest.raises(ValueError, match="GitHub accepts at most 25000"):
        log([place()] * (MAX_RESULTS + 1))


# -- as another program reads it


def test_sarif_tools_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ranking.sarif"
    path.write_text(json.dumps(log()), encoding="utf-8")
    files = loader.load_sarif_files(str(path))
    assert (files.get_result_count(), files.get_distinct_tool_names()) == (2, ["Assay"])
    records = files.get_records()
    assert [(r["Severity"], r["Code"], r["Location"], r["Line"]) for r in records] == [
        ("note", "assay/look-here-first/function", "src/a.py", 10),
        ("note", "assay/look-here-first/function", "src/b%20c.py", 3),
    ]
    with redirect_stdout(io.StringIO()) as printed:
        summary_op.generate_summary(files, None, False)
    assert "note: 2\n - assay/look-here-first/function" in printed.getvalue()
