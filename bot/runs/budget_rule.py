"""Decide whether a run's minutes fit this month's budget of the installation and the server's ceiling. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.records import Budget, GpuState, Usage

NO_BUDGET: Final = "fine-tuning is switched off for this installation: whoever runs this server has to give it a budget"


@dataclass(frozen=True, slots=True)
class Reserve:
    """The minutes are available."""

    minutes: float


@dataclass(frozen=True, slots=True)
class OutOfBudget:
    reason: str


def decide_reservation(
    minutes: float, budget: Budget, usage: Usage, server: GpuState, server_usage: Usage, now: datetime
) -> Reserve | OutOfBudget:
    """Decide on `minutes`, the most that the run may take. Both usages are those of the month of `now`."""
    needs = f"it may take up to {_shown(minutes)} GPU minutes"
    if minutes > budget.monthly_minutes:
        to_do = "whoever runs this server can give it more"
        return OutOfBudget(f"{needs}, and the budget is {_shown(budget.monthly_minutes)} a month: {to_do}")
    left = budget.monthly_minutes - usage.total
    if minutes > left:
        of = f"{_left(left)} of the {_shown(budget.monthly_minutes)} of this month are left"
        return OutOfBudget(f"{needs}, and {of}; the budget renews on {_renews(now)} (UTC)")
    if server.ceiling_minutes is None:
        return Reserve(minutes)
    if minutes > server.ceiling_minutes:
        limit = f"this server allows {_shown(server.ceiling_minutes)} a month to all its users together"
        return OutOfBudget(f"{needs}, and {limit}: whoever runs it can allow more")
    if minutes > (left := server.ceiling_minutes - server_usage.total):
        of = f"this server has {_left(left)} left this month for all its users together"
        return OutOfBudget(f"{needs}, and {of}; that renews on {_renews(now)} (UTC)")
    return Reserve(minutes)


def _renews(now: datetime) -> str:
    """Render the first day of the next month in UTC."""
    first = now.astimezone(UTC).replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return f"1 {following:%B %Y}"


def _left(minutes: float) -> str:
    """Render rounded down and never below 0, because a budget may have been reduced."""
    return _shown(max(0.0, math.floor(round(minutes * 10, 6)) / 10))


def _shown(minutes: float) -> str:
    return f"{minutes:,.1f}".removesuffix(".0")
