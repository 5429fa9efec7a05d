"""What time it is, handed to whoever asks, so that a benchmark can run the hours of a rate limit in minutes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Aware UTC times. Leases and request timeouts count real seconds; everything a person or GitHub sees is this."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class FastClock:
    """A clock that runs `factor` times as fast since `started_at`: equal in every process that was told the same."""

    def __init__(self, started_at: datetime, factor: float) -> None:
        self._started_at = started_at
        self._factor = factor

    def now(self) -> datetime:
        return self._started_at + (datetime.now(UTC) - self._started_at) * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._factor)
