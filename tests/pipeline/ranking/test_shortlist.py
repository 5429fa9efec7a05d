"""A stored ranking is bounded in size and survives a round trip."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.json_fields import MalformedError
from pipeline.ranking.competitors import Signal
from pipeline.ranking.shortlist import (
    MAX_FILES,
    MAX_FUNCTIONS,
    MAX_NAME_LENGTH,
    MAX_PATH_LENGTH,
    Place,
    Retrained,
    Shortlist,
    dump_shortlist,
    load_shortlist,
    shortlist_of,
)
from tests.pipeline.ranking.subjects import subject

SIZE = Signal("size", lambda s: s.metrics.lines)
TWO = Shortlist(
    scorer="size",
    ranked_functions=3,
    ranked_files=2,
    functions=(
        Place("a.py", "large", 1, ("90 lines",)),
        Place("b.py", "middle", 1, ("touched once in a year by one person", "30 lines")),
        Place("b.py", "small", 1, ("4 lines",)),
    ),
    files=(
        Place("a.py", "large", 1, ("90 lines",)),
        Place("b.py", "middle", 1, ("touched once in a year by one person", "30 lines")),
    ),
)


def test_a_shortlist_has_the_riskiest_functions_and_files_with_reasons() -> None:
    functions = [
        subject("b.py", "small", lines=4),
        subject("a.py", "large", lines=90),
        subject("b.py", "middle", lines=30, touches=1, authors=1),
    ]
    assert shortlist_of(functions, SIZE) == TWO


def test_a_shortlist_has_the_total_counts() -> None:
    functions = [subject(f"m{i % 15}.py", f"f{i}", lines=i + 3) for i in range(50)]
    kept = shortlist_of(functions)
    assert (kept.scorer, kept.ranked_functions, kept.ranked_files) == ("baseline", 50, 15)
    assert [place.qualified_name for place in kept.functions] == [f"f{i}" for i in range(49, 29, -1)]
    assert [place.path for place in kept.files] == [f"m{i % 15}.py" for i in range(49, 39, -1)]


def test_a_repository_without_functions_has_an_empty_shortlist() -> None:
    assert shortlist_of([]) == Shortlist("baseline", 0, 0, (), ())


TEXTS = st.text(max_size=2_000) | st.sampled_from(["\udcff" * 400, "x\n" * 400, "", " ", "é" * 301])


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=25))
def test_hostile_names_are_bounded_and_survive_a_round_trip(names: list[tuple[str, str]]) -> None:
    kept = shortlist_of([subject(path, name) for path, name in names])
    values = dump_shortlist(kept)
    assert load_shortlist(json.loads(json.dumps(values))) == kept
    assert len(kept.functions) <= MAX_FUNCTIONS
    assert len(kept.files) <= MAX_FILES
    for place in (*kept.functions, *kept.files):
        assert len(place.path) <= MAX_PATH_LENGTH
        assert len(place.qualified_name) <= MAX_NAME_LENGTH
        assert (place.path + place.qualified_name).isprintable()
        (place.path + place.qualified_name).encode()  # no lone surrogate: PostgreSQL refuses those
    assert len(json.dumps(values, ensure_ascii=False).encode()) < 100_000


RETRAINED = Retrained("run-17", "2023-09-14T08:00:00Z", 1_631_536_000, 1_694_608_000, "Qwen/Qwen2.5-Coder-1.5B")


def test_the_adapter_behind_a_ranking_is_stored_with_it() -> None:
    kept = shortlist_of([subject()], SIZE, RETRAINED)
    assert kept.retrained == RETRAINED
    assert load_shortlist(json.loads(json.dumps(dump_shortlist(kept)))) == kept


def test_a_shortlist_from_before_adapters_is_read() -> None:
    values = dump_shortlist(TWO)
    del values["retrained"]
    assert load_shortlist(values) == TWO


@given(TEXTS.filter(bool), st.integers(-(1 << 62), 1 << 62))
def test_hostile_run_ids_survive_a_round_trip(text: str, seconds: int) -> None:
    kept = shortlist_of([], SIZE, Retrained(text, text, seconds, seconds, text))
    assert load_shortlist(json.loads(json.dumps(dump_shortlist(kept)))) == kept
    assert kept.retrained is not None
    assert kept.retrained.run_id.isprintable()
    assert len(kept.retrained.run_id) <= MAX_NAME_LENGTH


def test_only_a_path_that_is_too_long_ends_in_an_ellipsis() -> None:
    long, fits = (
        shortlist_of([subject("d" * length)]).functions[0].path for length in (MAX_PATH_LENGTH + 1, MAX_PATH_LENGTH)
    )
    assert long == "d" * (MAX_PATH_LENGTH - 1) + "…"
    assert fits == "d" * MAX_PATH_LENGTH


def changed(**fields: Any) -> dict[str, Any]:
    return {**dump_shortlist(TWO), **fields}


PLACE = dump_shortlist(TWO)["functions"][0]


def test_malformed_shortlists_are_rejected(subtests: pytest.Subtests) -> None:
    cases: list[tuple[object, str]] = [
        (None, "expected an object"),
        ({}, "is missing"),
        (changed(ranked_functions=-1), "at least 0"),
        (changed(functions=[PLACE] * 21), "at most 20"),
        (changed(files=[PLACE] * 11), "at most 10"),
        (changed(files=[{**PLACE, "path": "x" * 301}]), "at most 300 characters"),
        (changed(files=[{**PLACE, "path": "a\nb"}]), "printable"),
        (changed(files=[{**PLACE, "start_line": 0}]), "at least 1"),
        (changed(files=[{**PLACE, "start_line": "1"}]), "whole number"),
        (changed(files=[{**PLACE, "reasons": ["x"] * 9}]), "at most 8"),
        (changed(files=[{**PLACE, "reasons": ["\x1b"]}]), "printable"),
        (changed(retrained={}), "is missing"),
        (changed(retrained={"run_id": "x" * 161}), "at most 160 characters"),
        (changed(retrained={**dataclasses.asdict(RETRAINED), "trained_until": "today"}), "whole number"),
    ]
    for value, words in cases:
        with subtests.test(value=value, words=words), pytest.raises(MalformedError, match=words):
            load_shortlist(value)


def test_fields_of_a_later_release_are_ignored() -> None:
    assert load_shortlist(changed(later=1)) == TWO


def test_reading_a_shortlist_imports_neither_numpy_nor_the_miner() -> None:
    look = (
        "import sys, pipeline.ranking.shortlist; print('numpy' in sys.modules, 'pipeline.mining.miner' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
