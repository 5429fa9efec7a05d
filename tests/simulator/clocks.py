"""A clock that only moves when a test advances it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_POLL_S = 0.005


class SettableClock:
    """A clock in UTC. A sleeper wakes once `advance` or `set` has moved the clock past its time."""

    def __init__(self, at: datetime = START) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def set(self, at: datetime) -> None:
        self._at = at

    def advance(self, by: timedelta | float) -> None:
        """Advance by a timedelta or a number of seconds."""
        self._at += by if isinstance(by, timedelta) else timedelta(seconds=by)

    async def sleep(self, seconds: float) -> None:
        until = self._at + timedelta(seconds=seconds)
        while self._at < until:
            await asyncio.sleep(_POLL_S)
