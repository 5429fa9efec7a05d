"""An injectable clock, so that a benchmark can run hours of rate limits in minutes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Timezone-aware UTC time for everything shown to people or GitHub. Leases and timeouts use real seconds."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock."""


class SystemClock:
    """The system clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class FastClock:
    """Runs `factor` times as fast since `started_at`; equal in every process created with the same arguments."""

    def __init__(self, started_at: datetime, factor: float) -> None:
        self._started_at = started_at
        self._factor = factor

    def now(self) -> datetime:
        return self._started_at + (datetime.now(UTC) - self._started_at) * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._factor)
