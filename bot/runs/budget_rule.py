"""Decide whether a run's minutes fit this month's budget of the installation and the server's ceiling. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.messages.reasons import over_account_budget, over_account_rest, over_server_ceiling, over_server_rest
from bot.records import Budget, GpuState, Usage


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
    if minutes > budget.monthly_minutes:
        return OutOfBudget(over_account_budget(minutes, budget.monthly_minutes))
    left = budget.monthly_minutes - usage.total
    if minutes > left:
        return OutOfBudget(over_account_rest(minutes, left, budget.monthly_minutes, now))
    if server.ceiling_minutes is None:
        return Reserve(minutes)
    if minutes > server.ceiling_minutes:
        return OutOfBudget(over_server_ceiling(minutes, server.ceiling_minutes))
    if minutes > (left := server.ceiling_minutes - server_usage.total):
        return OutOfBudget(over_server_rest(minutes, left, now))
    return Reserve(minutes)
