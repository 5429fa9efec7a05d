"""Stored screenings survive a JSON round trip to the last digit and are judged again with the same result."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.threshold import fit
from pipeline.json_fields import MalformedError
from pipeline.records import Density, ExcludedGroup, Obstacle, OtherDensity, Standing, Threshold, Windows
from pipeline.screening.measure import Measured
from pipeline.screening.measurement import (
    ExcludedCount,
    Judgement,
    Measurement,
    dump_judgement,
    dump_measurement,
    judge_measurement,
    load_judgement,
    load_measurement,
    measurement_of,
)
from pipeline.screening.verdict import judge
from tests.builders.outcomes import RECIPE, outcomes
from tests.builders.screenings import AS_OF, HEAD, density, diagnosis, mined, windows

CALIBRATION = fit(outcomes("win a .31, win b .06, loss c .03 published, loss d .004"), label_recipe_id=RECIPE)


def measured(**changes: Any) -> Measured:
    usual: dict[str, Any] = {
        "mined": mined(),
        "density": density(),
        "evidence": {"keyword": 0.25, "prefix": 0.75},
        "held_out": 900,
        "held_out_positives": 45,
        "config_hash": "c0ffee",
        "diagnosis": diagnosis(),
        "other": OtherDensity("messages+api", "0123456789ab", density(value=0.08)),
    }
    return Measured(**usual | changes)


def measurement(**changes: Any) -> Measurement:
    return measurement_of(measured(**changes), 4.25, 131.5, 123_456, "By messages alone.")


GOLDEN: dict[str, Any] = {
    "repo": "example/project",
    "head_sha": HEAD,
    "as_of": "2023-11-14T22:13:20Z",
    "commits": 4_321,
    "landings": 1_234,
    "window_commits": 987,
    "fix_commits": 87,
    "windows": {
        "train_start": 1_605_392_000,
        "eval_start": 1_668_464_000,
        "as_of": AS_OF,
        "window_days": 730.0,
        "horizon_days": 365.0,
        "history_days": 3_650.0,
        "too_little_history": False,
        "shortened": False,
    },
    "density": {
        "value": 0.0593,
        "low": 0.0521,
        "high": 0.0672,
        "pairs": 40,
        "positives": 10,
        "positive_share": 0.25,
        "file_positive_share": 0.6,
        "scale": 2.1,
        "curve": "relative",
    },
    "evidence": {"keyword": 0.25, "prefix": 0.75},
    "held_out": 900,
    "held_out_positives": 45,
    "excluded": [{"reason": "tests only", "commits": 21}, {"reason": "more than 20 source files", "commits": 2}],
    "notes": ["12 objects missing: 9 pairs left out"],
    "seconds": 4.25,
    "peak_rss_mb": 131.5,
    "clone_bytes": 123_456,
    "config_hash": "c0ffee",
    "diagnosis": {
        "credited": 12,
        "keyword_alone": 4,
        "effective_positives": 8.5,
        "inflation": 2.4,
        "issues": {"closed": 340, "unlabelled": 312, "bugs": 12},
    },
    "other": {
        "label_recipe": "messages+api",
        "label_recipe_id": "0123456789ab",
        "density": {
            "value": 0.08,
            "low": 0.0521,
            "high": 0.0672,
            "pairs": 40,
            "positives": 10,
            "positive_share": 0.25,
            "file_positive_share": 0.6,
            "scale": 2.1,
            "curve": "relative",
        },
    },
    "evidence_note": "By messages alone.",
    "files": {
        "read": 35,
        "excluded": [["test", 40], ["vendored", 9]],
        "folders": [
            {"path": "tests/", "reason": "test", "files": 38},
            {"path": "third_party/", "reason": "vendored", "files": 9},
            {"path": "src/part_0/", "reason": "test", "files": 2},
        ],
        "unread": [[".sh", 3]],
    },
    "obstacle": None,
}
NEW = ("config_hash", "diagnosis", "other", "evidence_note", "files", "obstacle")


def test_a_measurement_is_stored_in_this_format() -> None:
    assert dump_measurement(measurement()) == GOLDEN
    assert list(dump_measurement(measurement())) == list(GOLDEN)
    assert load_measurement(GOLDEN) == measurement()


def test_a_measurement_of_an_earlier_release_is_read() -> None:
    old = {name: value for name, value in GOLDEN.items() if name not in NEW}
    loaded = load_measurement(old)
    assert (loaded.config_hash, loaded.diagnosis, loaded.other, loaded.evidence_note) == ("", None, None, "")
    assert (loaded.files, loaded.obstacle) == (None, None)


def test_an_obstacle_is_stored_and_decides_the_judgement() -> None:
    partial = mined(obstacle=Obstacle("partial clone", "This is a partial clone."))
    stored = load_measurement(dump_measurement(measurement(mined=partial)))
    judgement = judge_measurement(stored, CALIBRATION)
    assert stored.obstacle == partial.obstacle
    assert (judgement.measurable, judgement.reasons[0]) == (False, "This is a partial clone.")


def test_the_verdict_says_if_the_repositorys_own_configuration_was_used() -> None:
    reason = "Measured with this repository's own configuration."
    assert judge_measurement(measurement(), CALIBRATION).reasons[-1] == reason
    assert reason not in judge_measurement(measurement(config_hash=""), CALIBRATION).reasons


def test_a_judgement_is_stored_in_this_format() -> None:
    judgement = judge_measurement(measurement(density=density(value=0.2, low=0.19, high=0.21)), CALIBRATION)
    dumped = dump_judgement(judgement)
    threshold, standing = dumped.pop("threshold"), dumped.pop("standing")
    assert dumped == {
        "verdict": "RUN",
        "words": "worth trying (RUN)",
        "measurable": True,
        "near_boundary": False,
        "reasons": list(judgement.reasons),
        "threshold_version": CALIBRATION.version,
    }
    assert list(threshold) == ["value", "band_low", "band_high", "source", "separable"]
    assert (threshold["value"], threshold["source"], threshold["separable"]) == (0.045, "calibration", True)
    assert standing == {
        "outcomes": 4,
        "published": 1,
        "measured": 3,
        "leave_one_out": 0.75,  # without b/b the midpoint would be above it
        "winners": [["a/a", 0.31], ["b/b", 0.06]],
        "losers": [["c/c", 0.03], ["d/d", 0.004]],
        "counterexamples": [],
        "shared": 0,
    }
    assert load_judgement(dumped | {"threshold": threshold, "standing": standing}) == judgement
    del dumped["threshold_version"], standing["shared"]  # an earlier release wrote neither
    old = load_judgement(dumped | {"threshold": threshold, "standing": standing})
    assert old == dataclasses.replace(judgement, threshold_version="")


def test_a_judgement_equals_the_verdict() -> None:
    m = measurement(held_out=10, config_hash="")
    verdict = judge(m.density, m.windows, 10, 45, CALIBRATION)
    judgement = judge_measurement(m, CALIBRATION)
    assert (judgement.verdict, judgement.words, judgement.reasons) == (verdict.verdict, verdict.words, verdict.reasons)
    assert (judgement.measurable, judgement.near_boundary) == (verdict.measurable, verdict.near_boundary)
    assert (judgement.threshold, judgement.standing) == (CALIBRATION.threshold, CALIBRATION.standing)


def test_fields_of_later_releases_are_optional_and_unknown_fields_are_ignored(subtests: pytest.Subtests) -> None:
    for later in ("excluded", "notes", "seconds", "peak_rss_mb", "clone_bytes"):
        with subtests.test(later=later):
            row = {key: value for key, value in GOLDEN.items() if key != later} | {"something_newer": [1]}
            assert load_measurement(row).head_sha == HEAD
            assert not getattr(load_measurement(row), later)


def test_a_repository_without_pairs_has_no_density() -> None:
    dumped = dump_measurement(measurement(density=None, evidence={}))
    assert dumped["density"] is None
    assert judge_measurement(load_measurement(dumped), CALIBRATION).words == "cannot be measured (SKIP)"


def test_an_error_names_the_bad_field(subtests: pytest.Subtests) -> None:
    cases: list[tuple[tuple[str, ...], object, str]] = [
        (("commits",), "4321", "measurement.commits: expected a whole number"),
        (("commits",), True, "measurement.commits: expected a whole number"),
        (("commits",), -1, "measurement.commits: expected a whole number"),
        (("repo",), None, "measurement.repo: expected printable text"),
        (("repo",), "a\x1b[31m", "measurement.repo: expected printable text"),
        (("as_of",), "2024-01-01T00:00:00Z", "measurement.as_of: differs from windows.as_of"),
        (("windows",), [], "measurement.windows: expected an object, not a list"),
        (("windows", "as_of"), 1.5, "measurement.windows.as_of: expected a whole number"),
        (("density", "value"), "0.1", "measurement.density.value: expected a number"),
        (("density", "curve"), "steep", "measurement.density.curve: expected one of relative"),
        (("evidence", "keyword"), 2, "measurement.evidence.keyword: expected a number from 0 to 1"),
        (("excluded",), {}, "measurement.excluded: expected a list"),
        (("notes",), [5], r"measurement.notes.0: expected printable text"),
    ]
    for path, value, complaint in cases:
        with subtests.test(path=path, value=value, complaint=complaint):
            row = json.loads(json.dumps(GOLDEN))
            inner = row
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            with pytest.raises(MalformedError, match=complaint):
                load_measurement(row)


def test_other_values_are_rejected(subtests: pytest.Subtests) -> None:
    values: tuple[object, ...] = (None, [], "text", {}, {"verdict": "MAYBE"})
    for value in values:
        with subtests.test(value=value):
            with pytest.raises(MalformedError):
                load_judgement(value)
            with pytest.raises(MalformedError):
                load_measurement(value)


def test_malformed_points_are_rejected(subtests: pytest.Subtests) -> None:
    cases: list[object] = [[["a"]], [["a", "b"]], [[1, 0.5]], "a", [{"name": "a", "density": 0.5}]]
    for winners in cases:
        with subtests.test(winners=winners):
            row = dump_judgement(judge_measurement(measurement(), CALIBRATION))
            row["standing"]["winners"] = winners
            with pytest.raises(MalformedError):
                load_judgement(row)


def test_hostile_text_from_a_history_can_be_stored_and_read_back() -> None:
    hostile = mined(
        repo="a/" + "b" * 5_000,
        notes=("x\x00\x1b[2J\ud800\u202ey", "n" * 600),
        excluded=(ExcludedGroup("r" * 700, 3, ()),),
        windows=windows(train_start=-(1 << 60), as_of=-(1 << 59), history_days=1e13),
    )
    kept = measurement(mined=hostile)
    assert load_measurement(json.loads(json.dumps(dump_measurement(kept)))) == kept
    assert kept.as_of == "0001-01-01T00:00:00Z"
    assert kept.notes[0] == "x��[2J��y"
    assert (len(kept.repo), len(kept.notes[1]), len(kept.excluded[0].reason)) == (500, 500, 500)


def test_nan_is_not_stored() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_measurement(measurement(density=density(value=float("nan"))))


texts = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=60)
wholes = st.integers(0, 10**12)
shares = st.floats(0, 1)
times = st.integers(-(1 << 61), 1 << 61)
spans = st.floats(0, 1e12)
some_windows = st.builds(
    Windows,
    train_start=times,
    eval_start=times,
    as_of=times,
    window_days=spans,
    horizon_days=spans,
    history_days=spans,
    too_little_history=st.booleans(),
    shortened=st.booleans(),
)
densities = st.builds(
    Density,
    value=shares,
    low=shares,
    high=shares,
    pairs=st.integers(100, 10**9),
    positives=st.integers(0, 100),
    positive_share=shares,
    file_positive_share=shares,
    scale=st.floats(1, 1e9),
    curve=st.sampled_from(["relative", "saturating", "maximum", "share", "presence"]),
)
measurements = st.builds(
    Measurement,
    repo=texts,
    head_sha=texts,
    commits=wholes,
    landings=wholes,
    window_commits=wholes,
    fix_commits=wholes,
    windows=some_windows,
    density=st.none() | densities,
    evidence=st.dictionaries(st.sampled_from(["issue", "label", "prefix", "keyword"]), shares),
    held_out=wholes,
    held_out_positives=wholes,
    excluded=st.lists(st.builds(ExcludedCount, texts, wholes), max_size=4).map(tuple),
    notes=st.lists(texts, max_size=4).map(tuple),
    seconds=spans,
    peak_rss_mb=spans,
    clone_bytes=wholes,
)
points = st.lists(st.tuples(texts, shares), max_size=4).map(tuple)
judgements = st.builds(
    Judgement,
    verdict=st.sampled_from(["RUN", "SKIP"]),
    words=texts,
    measurable=st.booleans(),
    near_boundary=st.booleans(),
    reasons=st.lists(texts, max_size=5).map(tuple),
    threshold=st.builds(Threshold, shares, shares, shares, texts, st.booleans()),
    standing=st.builds(
        Standing,
        outcomes=wholes,
        published=wholes,
        measured=wholes,
        leave_one_out=st.none() | shares,
        winners=points,
        losers=points,
        counterexamples=st.lists(texts, max_size=4).map(tuple),
    ),
)


@given(measurements)
def test_any_measurement_survives_a_round_trip_and_is_judged_the_same(kept: Measurement) -> None:
    again = load_measurement(json.loads(json.dumps(dump_measurement(kept))))
    assert again == kept
    judgement = judge_measurement(kept, CALIBRATION)
    assert judge_measurement(again, CALIBRATION) == judgement
    assert load_judgement(json.loads(json.dumps(dump_judgement(judgement)))) == judgement


@given(judgements)
def test_any_judgement_survives_a_round_trip(judgement: Judgement) -> None:
    assert load_judgement(json.loads(json.dumps(dump_judgement(judgement)))) == judgement


def test_reading_a_measurement_imports_nothing_needed_for_mining() -> None:
    code = "import sys, pipeline.screening.measurement; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"numpy", "dulwich", "tree_sitter", "rapidfuzz", "urllib3"} == set()
