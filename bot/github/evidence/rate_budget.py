"""The rate-limit budget of one fetch: a share of the points left when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.github.errors import RateLimited
from bot.github.evidence.graphql_response import QueryCost
from bot.github.rate_limits import MAX_WAIT, SECONDARY_WAIT

SHARE: Final = 0.5
NEW_WINDOW: Final = timedelta(minutes=30)  # windows are an hour apart; servers disagree by seconds about the same one


@dataclass
class Budget:
    """Points and requests of one fetch. Both GitHub's limit and the allowance reset every hour."""

    share: float
    requests: int = 0
    points: int = 0
    _allowance: int | None = None  # None if this GitHub has no limit, or has not reported it yet
    _spent: int = 0  # of the allowance
    _next_cost: int = 1
    _resets_at: datetime | None = None

    def record(self, cost: QueryCost | None) -> None:
        """Record the cost of a response."""
        if cost is None:
            return
        if self._resets_at is None or cost.resets_at - self._resets_at > NEW_WINDOW:
            self._allowance = int(self.share * (cost.remaining + cost.points))
            self._spent, self._resets_at = 0, cost.resets_at
        self._next_cost = max(1, cost.points)
        self._spent += cost.points
        self.points += cost.points

    def require(self, now: datetime) -> None:
        """Check the budget before a query. Raises RateLimited if one like the last would exceed the share.

        The first query is always allowed: its response reports the limit.
        """
        if self._allowance is None or self._resets_at is None:
            return
        if self._spent + self._next_cost > self._allowance:
            until = min(max(self._resets_at, now + SECONDARY_WAIT), now + MAX_WAIT)
            raise RateLimited("issues and pull requests have used their share of GitHub's rate limit", until)
