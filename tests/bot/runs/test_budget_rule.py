"""A reservation never exceeds a budget, and a refusal states the true figures."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.records import Budget, GpuState, Usage
from bot.runs.budget_rule import OutOfBudget, Reserve, decide_reservation

AT = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)


def budget(minutes: float) -> Budget:
    return Budget(1, minutes, 1, AT)


def test_a_refusal_says_what_is_needed_what_is_left_and_when_it_renews(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float, float, float | None, float, str]] = [
        (90.0, 90.0, 0.0, None, 0.0, ""),
        (90.0, 100.0, 10.0, None, 1e9, ""),
        (
            90.5,
            90.0,
            0.0,
            None,
            0.0,
            "it may take up to 90.5 GPU minutes, and the budget is 90 a month: the operator of this server can "
            "raise it",
        ),
        (
            90.0,
            1_000.0,
            910.05,
            None,
            0.0,
            "it may take up to 90 GPU minutes, and 89.9 of this month’s 1,000 are left; the budget renews on "
            "1 January 2027 (UTC)",
        ),
        (
            90.0,
            100.0,
            120.0,
            None,
            0.0,
            "it may take up to 90 GPU minutes, and 0 of this month’s 100 are left; the budget renews on "
            "1 January 2027 (UTC)",
        ),
        (90.0, 100.0, 0.0, 100.0, 10.0, ""),
        (
            90.0,
            100.0,
            0.0,
            80.0,
            0.0,
            "it may take up to 90 GPU minutes, and this server allows 80 a month for all accounts together: its "
            "operator can raise that",
        ),
        (
            90.0,
            100.0,
            0.0,
            100.0,
            20.0,
            "it may take up to 90 GPU minutes, and this server has 80 left this month for all accounts together; that "
            "renews on 1 January 2027 (UTC)",
        ),
    ]
    for minutes, most, used, ceiling, used_by_all, reason in cases:
        with subtests.test(
            minutes=minutes, most=most, used=used, ceiling=ceiling, used_by_all=used_by_all, reason=reason
        ):
            state, server = GpuState(ceiling_minutes=ceiling), Usage(used_by_all, 0.0)
            decision = decide_reservation(minutes, budget(most), Usage(0.0, used), state, server, AT)
            assert decision == (OutOfBudget(reason) if reason else Reserve(minutes))


MINUTES = st.floats(0, 1e6)


@given(MINUTES, MINUTES, MINUTES, MINUTES, st.none() | MINUTES, MINUTES)
def test_a_reservation_never_exceeds_the_budget_or_the_ceiling(
    minutes: float, most: float, spent: float, reserved: float, ceiling: float | None, of_others: float
) -> None:
    usage, everybody = Usage(spent, reserved), Usage(spent + of_others, reserved)
    decision = decide_reservation(minutes, budget(most), usage, GpuState(ceiling_minutes=ceiling), everybody, AT)
    if isinstance(decision, Reserve):
        assert minutes <= most - usage.total
        assert ceiling is None or minutes <= ceiling - everybody.total
    else:
        assert minutes > most - usage.total or (ceiling is not None and minutes > ceiling - everybody.total)
