from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.ranking.files import file_baseline, file_labels, file_reasons, file_scores, files_of, riskiest
from tests.pipeline.ranking.subjects import subject

FUNCTIONS = [
    subject("b.py", "f", lines=10, fan_out=3, file_touches=4, file_authors=2, file_decayed_touches=2.5, file_fixes=1),
    subject("a.py", "f", lines=30),
    subject("b.py", "g", lines=20, fan_out=2, file_touches=4, file_authors=2, file_decayed_touches=2.5, file_fixes=1),
]


def test_a_file_has_the_lines_of_its_functions_and_its_own_history() -> None:
    a, b = files_of(FUNCTIONS)
    assert (a.path, a.functions, a.lines, a.decayed_touches, a.fixes) == ("a.py", (1,), 30, 0.0, 0)
    assert (b.path, b.functions, b.lines, b.decayed_touches, b.fixes) == ("b.py", (0, 2), 30, 2.5, 1)


def test_a_file_has_the_highest_score_and_the_total_credit_of_its_functions() -> None:
    files = files_of(FUNCTIONS)
    assert riskiest(files, np.array([0.1, 0.5, 0.9])).tolist() == [0.5, 0.9]
    assert file_labels(files, np.array([0.7, 0.0, 0.35])).tolist() == [0.0, pytest.approx(1.05)]


def test_a_nan_score_makes_the_score_of_the_file_nan() -> None:
    scores = riskiest(files_of(FUNCTIONS), np.array([0.1, 0.5, math.nan]))
    assert scores[0] == 0.5
    assert math.isnan(scores[1])


def test_the_baseline_of_files_is_the_documented_sum() -> None:
    expected = 2 * math.log(31) + math.log(6) + math.log(3.5) + math.log(2)
    assert file_baseline(files_of(FUNCTIONS)).tolist() == [pytest.approx(2 * math.log(31)), pytest.approx(expected)]


def test_the_reasons_of_a_file_give_its_history_and_size() -> None:
    a, b = files_of(FUNCTIONS)
    assert file_reasons(a) == ("30 lines in 1 function",)
    assert file_reasons(b) == (
        "touched 4 times in a year by 2 people",
        "1 fix in two years",
        "30 lines in 2 functions",
    )


def test_every_scorer_of_functions_ranks_files_too() -> None:
    scores = file_scores(files_of(FUNCTIONS), {"size": np.array([10.0, 30.0, 20.0])})
    assert list(scores) == [
        "baseline",
        "size",
        "decayed touches",
        "past fixes",
        "decayed touches × log size",
        "riskiest by size",
    ]
    assert scores["riskiest by size"].tolist() == [30.0, 20.0]


def test_without_functions_there_are_no_files() -> None:
    assert files_of([]) == []
    assert [len(values) for values in file_scores([], {"size": np.zeros(0)}).values()] == [0] * 6
