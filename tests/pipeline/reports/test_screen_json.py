from __future__ import annotations

import json

import pytest

from pipeline.label_recipe import MESSAGES, MESSAGES_API
from pipeline.records import Obstacle, OtherDensity
from pipeline.reports.screen_json import screen_json
from tests.builders import screenings as build
from tests.pipeline.reports.doc_tables import table

PROMISED = [
    *["repo", "head_sha", "as_of", "commits", "fix_commits", "windows", "pairs", "positives", "positive_share"],
    *["file_positive_share", "density", "density_low", "density_high", "threshold", "threshold_source", "band"],
    *[
        "verdict",
        "words",
        "measurable",
        "near_boundary",
        "reasons",
        "notes",
        "excluded_files",
        "obstacle",
        "evidence",
        "densities",
        "diagnosis",
        "evidence_note",
        "label_recipe_id",
    ],
    *["config_hash", "seconds", "peak_rss_mb"],
]
TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


def test_the_fields_are_the_documented_ones_in_order() -> None:
    assert list(screen_json(build.screening())) == PROMISED


def test_the_values_are_those_of_the_screening() -> None:
    made = screen_json(build.screening())
    assert made["as_of"] == "2023-11-14T22:13:20Z"
    assert made["windows"] == {
        "train_start": "2020-11-14T22:13:20Z",
        "eval_start": "2022-11-14T22:13:20Z",
        "as_of": "2023-11-14T22:13:20Z",
        "window_days": 730.0,
        "horizon_days": 365.0,
        "history_days": 3_650.0,
        "too_little_history": False,
        "shortened": False,
    }
    assert (made["density"], made["density_low"], made["density_high"]) == (0.0593, 0.0521, 0.0672)
    assert (made["threshold"], made["band"], made["threshold_source"]) == (0.0412, [0.035, 0.0474], "seed")
    assert (made["pairs"], made["positives"], made["commits"], made["fix_commits"]) == (40, 10, 4_321, 87)
    assert (made["verdict"], made["measurable"], made["near_boundary"]) == ("RUN", True, False)
    assert made["evidence"] == {"keyword": 0.25, "prefix": 0.75}


def test_both_densities_are_given_if_both_were_measured() -> None:
    assert screen_json(build.screening())["densities"] == {"messages/2": 0.0593}
    api = OtherDensity(MESSAGES_API.name, MESSAGES_API.id, build.density(value=0.2))
    assert screen_json(build.screening(other=api))["densities"] == {"messages/2": 0.0593, "messages+api/2": 0.2}
    messages = OtherDensity(MESSAGES.name, MESSAGES.id, None)
    made = screen_json(build.screening(other=messages, label_recipe_id=MESSAGES_API.id))
    assert made["densities"] == {"messages+api/2": 0.0593, "messages/2": None}


def test_the_diagnosis_has_the_documented_fields() -> None:
    assert screen_json(build.screening())["diagnosis"] == {
        "credited_fix_commits": 12,
        "keyword_alone": 4,
        "effective_positives": 8.5,
        "file_label_inflation": 2.4,
        "issues": {"closed": 340, "unlabelled": 312, "bugs": 12},
        "excluded": [
            {"reason": "tests only", "commits": 21},
            {"reason": "more than 20 source files", "commits": 2},
        ],
        "advice": ["Label bug issues: 312 of 340 closed issues have no label."],
    }


def test_the_page_documents_every_field_of_the_diagnosis() -> None:
    full = screen_json(build.screening())["diagnosis"]
    empty = screen_json(build.screening(diagnosis=build.diagnosis(inflation=None, issues=None)))["diagnosis"]
    assert isinstance(full, dict)
    assert isinstance(empty, dict)
    documented = _documented("### Fields of `diagnosis`")
    assert documented == {name: {TYPES[type(full[name])], TYPES[type(empty[name])]} for name in full}


def test_without_pairs_the_density_is_null_and_the_counts_are_zero() -> None:
    made = screen_json(build.screening(density=None, evidence={}))
    nulls = {name for name, value in made.items() if value is None}
    assert nulls == {"density", "density_low", "density_high", "positive_share", "file_positive_share", "obstacle"}
    assert (made["pairs"], made["positives"]) == (0, 0)


def test_the_files_that_are_left_out_are_counted_by_rule_with_the_largest_folders() -> None:
    assert screen_json(build.screening())["excluded_files"] == {
        "read": 35,
        "left_out": 49,
        "by_reason": {"test": 40, "vendored": 9},
        "largest_folders": [
            {"path": "tests/", "reason": "test", "files": 38},
            {"path": "third_party/", "reason": "vendored", "files": 9},
            {"path": "src/part_0/", "reason": "test", "files": 2},
        ],
        "unread_endings": {".sh": 3},
    }


def test_any_repository_name_survives_strict_json() -> None:
    made = screen_json(build.screening(mined=build.mined(repo='\udcff"\x00\u202e</script>')))
    assert json.loads(json.dumps(made, allow_nan=False, ensure_ascii=False).encode("utf-8")) == made
    assert made["repo"] == '\\udcff"\x00\u202e</script>'


def test_a_non_finite_number_is_an_error_that_names_the_field(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"density": build.density(value=float("nan"))}, "density"),
        ({"threshold": build.threshold(band_high=float("inf"))}, "band"),
        ({"evidence": {"prefix": float("nan")}}, "prefix"),
        ({"mined": build.mined(windows=build.windows(history_days=float("inf")))}, "history_days"),
        ({"seconds": float("inf")}, "seconds"),
    ]
    for changes, field in cases:
        with (
            subtests.test(changes=changes, field=field),
            pytest.raises(ValueError, match=rf"^{field} is not a finite number"),
        ):
            screen_json(build.screening(**changes))


def _documented(heading: str) -> dict[str, set[str]]:
    return {name: set(kind.split(" or ")) for name, kind, _ in table("reference/json.md", heading)}


def test_the_page_documents_every_field_with_its_types() -> None:
    partial = build.mined(obstacle=Obstacle("partial clone", "This is a partial clone."), files=None)
    full, empty = screen_json(build.screening()), screen_json(build.screening(density=None, mined=partial))
    found = {name: {TYPES[type(full[name])], TYPES[type(empty[name])]} for name in full}
    documented = _documented("## `assay screen`")
    assert list(documented) == list(found)
    assert documented == found


def test_the_page_documents_every_field_of_the_windows() -> None:
    windows = screen_json(build.screening())["windows"]
    assert isinstance(windows, dict)
    assert _documented("### Fields of `windows`") == {name: {TYPES[type(value)]} for name, value in windows.items()}
