"""The share of the rate limit, with figures worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.github.errors import RateLimited
from bot.github.evidence.graphql_response import QueryCost
from bot.github.evidence.rate_budget import Budget
from tests.bot.github.evidence.counting import NOW
from tests.rows import each_row

RESET = NOW + timedelta(minutes=40)


def spend(budget: Budget, cost: int, remaining: int, resets_at: object = RESET, times: int = 1) -> None:
    for _ in range(times):
        budget.record(QueryCost(cost, remaining, resets_at))  # type: ignore[arg-type]


def test_half_of_the_remaining_points_may_be_used() -> None:
    """5 left before the first: 2.5, so two."""
    budget = Budget(0.5)
    budget.require(NOW)
    spend(budget, 1, 4)
    budget.require(NOW)
    spend(budget, 1, 3)
    with pytest.raises(RateLimited) as caught:
        budget.require(NOW)
    assert caught.value.until == RESET
    assert budget.points == 2


@each_row(("cost", "times"), [(1, 50), (2, 25), (3, 16), (50, 1), (60, 1)])
def test_a_query_that_would_exceed_the_share_is_refused(cost: int, times: int) -> None:
    budget = Budget(0.5)
    for _ in range(times):
        budget.require(NOW)
        spend(budget, cost, 100 - cost)
    with pytest.raises(RateLimited):
        budget.require(NOW)


def test_only_a_new_hour_resets_the_allowance() -> None:
    budget = Budget(0.5)
    spend(budget, 1, 3, times=2)
    spend(budget, 1, 3, RESET + timedelta(seconds=2))
    with pytest.raises(RateLimited):
        budget.require(NOW)
    spend(budget, 1, 4_999, RESET + timedelta(hours=1))
    budget.require(NOW)


@pytest.mark.parametrize(
    ("resets_in", "waits"),
    [(timedelta(minutes=40), timedelta(minutes=40)), (timedelta(minutes=-5), timedelta(minutes=1)),
     (timedelta(days=400), timedelta(hours=2))],
)  # fmt: skip
def test_wrong_clocks_neither_hurry_nor_block(resets_in: timedelta, waits: timedelta) -> None:
    budget = Budget(0.5)
    spend(budget, 1, 0, NOW + resets_in)
    with pytest.raises(RateLimited) as caught:
        budget.require(NOW)
    assert caught.value.until == NOW + waits


def test_without_a_limit_nothing_is_refused() -> None:
    budget = Budget(0.5)
    budget.record(None)
    budget.require(NOW)
    assert budget.points == 0
