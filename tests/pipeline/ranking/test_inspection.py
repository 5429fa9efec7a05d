from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.inspection import precision_at, recall_at_lines

rows = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(3, 9)), min_size=1, max_size=6)


def columns(table: list[tuple[int, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, positive, lines = zip(*table, strict=True)
    return np.array(scores, dtype=float), np.array(positive), np.array(lines, dtype=float)


def test_precision_is_the_share_of_positives_at_the_top() -> None:
    scores, positive = np.arange(12.0), np.array([False] * 6 + [True] * 4 + [False] * 2)
    assert precision_at(10, scores, positive) == 0.4
    assert precision_at(2, scores, positive) == 0.0
    assert precision_at(4, scores, positive) == 0.5


def test_there_is_no_precision_at_more_than_there_are() -> None:
    assert precision_at(3, np.arange(2.0), np.array([True, True])) is None


def test_where_all_scores_are_equal_precision_is_the_prevalence() -> None:
    assert precision_at(10, np.ones(40), np.arange(40) < 8) == pytest.approx(0.2)


@given(rows, st.integers(1, 6))
def test_precision_under_ties_is_the_mean_over_all_orders_of_them(table: list, count: int) -> None:
    scores, positive, _ = columns(table)
    if count > len(table):
        assert precision_at(count, scores, positive) is None
        return
    orders = [o for o in itertools.permutations(range(len(table))) if (np.diff(scores[list(o)]) <= 0).all()]
    expected = np.mean([positive[list(order[:count])].mean() for order in orders])
    assert precision_at(count, scores, positive) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0 * 0.5), (0.55, 0.5 + 0.25), (0.9, 1.0), (1.0, 1.0)],
)
def test_recall_is_what_reading_a_share_of_the_lines_finds(share: float, expected: float) -> None:
    """10, 10, 70 and 10 lines, best first; fixed are the first and the third."""
    scores, lines = np.array([4.0, 3.0, 2.0, 1.0]), np.array([10.0, 10.0, 70.0, 10.0])
    positive = np.array([True, False, True, False])
    assert recall_at_lines(share, scores, positive, lines) == pytest.approx(expected)


def test_there_is_no_recall_without_a_positive() -> None:
    assert recall_at_lines(0.2, np.arange(3.0), np.zeros(3, dtype=bool), np.ones(3)) is None


@given(rows, st.floats(0, 1), st.floats(0, 1))
def test_reading_more_lines_finds_no_less(table: list, one: float, other: float) -> None:
    scores, positive, lines = columns(table)
    if positive.any():
        less, more = (recall_at_lines(share, scores, positive, lines) for share in sorted((one, other)))
        assert less is not None
        assert more is not None
        assert 0 <= less <= more + 1e-12
        assert more <= 1 + 1e-12


@given(rows, st.randoms())
def test_the_order_of_the_functions_does_not_matter(table: list, random) -> None:
    shuffled = random.sample(table, len(table))
    assert recall_at_lines(0.2, *columns(table)) == pytest.approx(recall_at_lines(0.2, *columns(shuffled)))
    assert precision_at(2, *columns(table)[:2]) == pytest.approx(precision_at(2, *columns(shuffled)[:2]))
