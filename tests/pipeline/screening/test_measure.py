"""The figures that explain a density, worked out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.mining.issue_links import IssueFact, Tracker
from pipeline.records import DAY_S, Evidence, IssueLabels
from pipeline.screening.measure import diagnose, label_coverage
from tests.builders.screenings import AS_OF, counted_fix, density, function, mined, windows


def issue(number: int, *, closed_at: int | None = AS_OF - 10, **changes: Any) -> IssueFact:
    usual = IssueFact(number, False, "closed", (), None, AS_OF - 100, closed_at, None)
    return dataclasses.replace(usual, **changes)


def test_fix_commits_with_only_a_keyword_as_evidence_are_counted() -> None:
    kinds = ("keyword", "issue", "keyword", "prefix")
    counted = tuple(counted_fix(i, evidence=Evidence(kind, 1.0)) for i, kind in enumerate(kinds))  # type: ignore[arg-type]
    found = diagnose(mined(counted=counted), density(), MESSAGES, None)
    assert (found.credited, found.keyword_alone, found.issues) == (4, 2, None)


@pytest.mark.parametrize(
    ("credits_", "effective"),
    [
        ((0.7, 0.7, 0.7, 0.0), 3.0),  # equal signals: the number of positives
        ((0.0, 0.0), 0.0),
        ((1.0, 0.5), 1.5**2 / 1.25),  # S = 1: signals 1 and .5
    ],
)
def test_unequal_signals_reduce_the_effective_sample_size(credits_: tuple[float, ...], effective: float) -> None:
    train = tuple(function(i, credit=credit) for i, credit in enumerate(credits_))
    assert diagnose(mined(train=train), None, MESSAGES, None).effective_positives == pytest.approx(effective)


@given(st.lists(st.floats(0, 50, allow_subnormal=False), max_size=30))
def test_the_effective_sample_size_never_exceeds_the_number_of_positives(credits_: list[float]) -> None:
    train = tuple(function(i, credit=credit) for i, credit in enumerate(credits_))
    effective = diagnose(mined(train=train), None, MESSAGES, None).effective_positives
    assert 0 <= effective <= sum(credit > 0 for credit in credits_) + 1e-9


def test_inflation_is_the_ratio_of_file_level_to_function_level_positives() -> None:
    found = diagnose(mined(), density(positive_share=0.1, file_positive_share=0.35, positives=4), MESSAGES, None)
    assert found.inflation == pytest.approx(3.5)
    assert diagnose(mined(), density(positives=0, positive_share=0.0), MESSAGES, None).inflation is None


def test_issues_closed_in_the_windows_are_counted_by_label() -> None:
    facts = [
        issue(1, labels=("bug",)),
        issue(2, labels=("kind/feature",)),
        issue(3),
        issue(4, issue_type="Bug"),
        issue(5, closed_at=None, state="open"),  # open
        issue(6, closed_at=AS_OF + 1),  # after the horizon
        issue(7, closed_at=AS_OF - 1_095 * DAY_S),  # before the training window
        issue(8, is_pull_request=True),
    ]
    tracker = Tracker({fact.number: fact for fact in facts}, AS_OF)
    assert label_coverage(tracker, windows()) == IssueLabels(closed=4, unlabelled=1, bugs=2)
