from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.baseline import TERMS, Baseline, reasons, recency, youth
from tests.pipeline.ranking.subjects import subject

counts = st.integers(0, 10_000)
subjects = st.builds(
    lambda lines, complexity, fan_out, fixes: subject(
        lines=lines, cyclomatic_complexity=complexity, fan_out=fan_out, fixes=fixes
    ),
    st.integers(3, 10_000), counts, counts, counts,
)  # fmt: skip


def test_the_score_is_the_documented_sum() -> None:
    known = subject(lines=40, cyclomatic_complexity=9, fan_out=12, days_since_touch=360.0, fixes=2, age_days=365.0)
    expected = 2 * math.log(41) + math.log(10) + math.log(13) + 3 * math.log(1.25) + 2 * math.log(3) + 2 * math.log(1.5)
    assert Baseline().predict([known]).tolist() == [pytest.approx(expected)]


def test_values_above_a_cap_count_as_the_cap() -> None:
    huge, capped = subject(lines=1_000_000, fixes=900), subject(lines=1_000, fixes=50)
    scores = Baseline().predict([huge, capped])
    assert scores[0] == scores[1]


@given(subjects, st.sampled_from(["lines", "fixes", "fan_out", "cyclomatic_complexity"]))
def test_an_increase_in_any_metric_never_lowers_the_score(known, field) -> None:
    values = {
        "lines": known.metrics.lines,
        "cyclomatic_complexity": known.metrics.cyclomatic_complexity,
        "fan_out": known.metrics.fan_out,
        "fixes": known.process.fixes,
    }
    more = subject(**{**values, field: values[field] + 1})
    before, after = Baseline().predict([known, more])
    assert after >= before


def test_recency_halves_every_180_days_and_is_zero_without_a_touch() -> None:
    days = (0.0, 180.0, 360.0, None)
    assert [recency(subject(days_since_touch=d)) for d in days] == [1.0, 0.5, 0.25, 0.0]


def test_youth_ends_after_730_days() -> None:
    assert [youth(subject(age_days=days)) for days in (0.0, 365.0, 730.0, 800.0, None)] == [1.0, 0.5, 0.0, 0.0, 0.0]


def test_the_score_of_a_function_depends_on_nothing_else() -> None:
    one, other = subject(lines=10), subject(lines=20, touches=3)
    baseline = Baseline()
    alone = baseline.predict([one])[0]
    baseline.fit([other], np.array([1.0]))
    assert baseline.predict([other, one])[1] == alone
    assert len(baseline.predict([])) == 0


def test_the_reasons_give_history_before_structure() -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        (
            {"touches": 14, "authors": 5, "fixes": 3, "file_fixes": 9, "cyclomatic_complexity": 23, "lines": 20},
            ("touched 14 times in a year by 5 people", "3 fixes in two years", "complexity 23"),
        ),
        ({"touches": 1, "authors": 1}, ("touched once in a year by one person",)),
        (
            {"touches": 2, "authors": 1, "file_fixes": 1},
            ("touched twice in a year by one person", "1 fix in two years elsewhere in its file"),
        ),
        ({"lines": 1_234}, ("1,234 lines",)),
        ({"lines": 4}, ("4 lines",)),
    ]
    wrong = [(known, got, said) for known, said in cases if (got := reasons(subject(**known))) != said]
    assert wrong == []


def test_term_names_are_unique() -> None:
    assert len({term.name for term in TERMS}) == len(TERMS)
