"""A share of the rate limit, by hand-worked numbers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.github.errors import RateLimited
from bot.github.evidence.graphql_response import Spending
from bot.github.evidence.rate_budget import Budget
from tests.bot.github.evidence.counting import NOW

RESET = NOW + timedelta(minutes=40)


def spend(budget: Budget, cost: int, remaining: int, resets_at: object = RESET, times: int = 1) -> None:
    for _ in range(times):
        budget.note(Spending(cost, remaining, resets_at))  # type: ignore[arg-type]


def test_half_of_what_is_left_may_be_used() -> None:
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


@pytest.mark.parametrize(("cost", "times"), [(1, 50), (2, 25), (3, 16), (50, 1), (60, 1)])
def test_a_query_that_would_go_past_the_share_is_not_made(cost: int, times: int) -> None:
    budget = Budget(0.5)
    for _ in range(times):
        budget.require(NOW)
        spend(budget, cost, 100 - cost)
    with pytest.raises(RateLimited):
        budget.require(NOW)


def test_a_new_hour_brings_a_new_allowance_and_a_server_that_is_a_second_ahead_does_not() -> None:
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
def test_a_clock_that_is_wrong_neither_hurries_nor_stops(resets_in: timedelta, waits: timedelta) -> None:
    budget = Budget(0.5)
    spend(budget, 1, 0, NOW + resets_in)
    with pytest.raises(RateLimited) as caught:
        budget.require(NOW)
    assert caught.value.until == NOW + waits


def test_without_a_limit_there_is_none() -> None:
    budget = Budget(0.5)
    budget.note(None)
    budget.require(NOW)
    assert budget.points == 0
