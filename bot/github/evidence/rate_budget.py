"""How much of the rate limit one fetch may use: a share of what is left when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.github.errors import RateLimited
from bot.github.evidence.graphql_response import Spending
from bot.github.rate_limits import LONGEST_WAIT, SECONDARY_WAIT

SHARE: Final = 0.5
NEW_HOUR: Final = timedelta(minutes=30)  # the limit starts anew an hour later or not at all; servers differ by seconds


@dataclass
class Budget:
    """Points and requests of one fetch. GitHub's limit starts anew each hour; so does the allowance."""

    share: float
    requests: int = 0
    points: int = 0
    _allowance: int | None = None  # None: this GitHub has no limit, or has not said it yet
    _spent: int = 0  # of the allowance
    _next_cost: int = 1
    _resets_at: datetime | None = None

    def note(self, spending: Spending | None) -> None:
        """After each answer."""
        if spending is None:
            return
        if self._resets_at is None or spending.resets_at - self._resets_at > NEW_HOUR:
            self._allowance = int(self.share * (spending.remaining + spending.cost))
            self._spent, self._resets_at = 0, spending.resets_at
        self._next_cost = max(1, spending.cost)
        self._spent += spending.cost
        self.points += spending.cost

    def require(self, now: datetime) -> None:
        """Before each query. Raises RateLimited where one like the last would go past the share.

        The first query is always allowed: it is how the limit is heard of.
        """
        if self._allowance is None or self._resets_at is None:
            return
        if self._spent + self._next_cost > self._allowance:
            until = min(max(self._resets_at, now + SECONDARY_WAIT), now + LONGEST_WAIT)
            raise RateLimited("issues and pull requests have used their share of GitHub's rate limit", until)
