from __future__ import annotations

import pytest

from pipeline.reports.evaluation_text import answer, interval, number, percentage
from tests.builders import evaluations as build


@pytest.mark.parametrize(
    ("value", "signed", "spelled"),
    [
        (0.2414, False, "0.241"),
        (-0.0036, False, "−0.004"),
        (0.0036, True, "+0.004"),
        (-0.5, True, "−0.500"),
        (None, True, "–"),
    ],
)
def test_a_number_has_three_decimals_and_a_real_minus(value: float | None, signed: bool, spelled: str) -> None:
    assert number(value, signed) == spelled


def test_an_interval_needs_both_ends() -> None:
    assert interval(-0.1, 0.2, signed=True) == "−0.100 to +0.200"
    assert interval(0.1, None) == interval(None, None) == "–"


@pytest.mark.parametrize(("value", "spelled"), [(0.084, "8 %"), (0.0, "0 %"), (1.0, "100 %"), (None, "–")])
def test_a_share_is_a_whole_number_of_percent(value: float | None, spelled: str) -> None:
    assert percentage(value) == spelled


def test_an_inconclusive_evaluation_has_reasons_for_an_answer() -> None:
    found = answer(build.evaluation(reasons=("too few", "too young")))
    assert (found.words, found.tone, found.sentences) == ("Inconclusive", "quiet", ("too few", "too young"))


def test_alone_the_baseline_is_ahead_of_nobody() -> None:
    labels = [float(i % 4 == 0) for i in range(240)]
    table = build.table({"baseline": [float((i * 7) % 31) + 20 * label for i, label in enumerate(labels)]}, labels)
    found = answer(build.evaluation(functions=table))
    assert found.sentences == ("No other scorer was compared with the baseline.",)
