"""Differences of ρ over several histories."""

from __future__ import annotations

import pytest

from bench.paired import paired


def test_the_mean_and_the_wins_are_those_of_the_differences():
    found = paired([0.1, 0.2, -0.05, 0.0])
    assert (found.histories, found.wins) == (4, 2)
    assert found.mean == pytest.approx(0.0625)


def test_equal_differences_leave_no_doubt():
    found = paired([0.25] * 6)
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_the_interval_of_two_histories_reaches_from_one_to_the_other():
    # A resample of two draws both, or one of them twice: each of the latter in a quarter of all.
    found = paired([0.0, 1.0])
    assert (found.low, found.high) == (0.0, 1.0)


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match="nothing"):
        paired([])
