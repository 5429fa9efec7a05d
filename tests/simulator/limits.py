"""GitHub's rate limits on the simulator's clock, with usage and peaks.

Primary: requests per hour and installation, reported in headers. Secondary: concurrent requests, points and content
writes, reported by a 403 with or without a Retry-After.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from tests.simulator.messages import Refused

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Hint = Literal["retry-after", "reset", "none"]


@dataclass
class Window:
    """A sliding window of times, and its peak."""

    span: timedelta
    times: deque[datetime] = field(default_factory=deque)
    amounts: deque[int] = field(default_factory=deque)
    total: int = 0
    peak: int = 0

    def forget(self, now: datetime) -> None:
        while self.times and self.times[0] <= now - self.span:
            self.times.popleft()
            self.total -= self.amounts.popleft()

    def add(self, now: datetime, amount: int = 1) -> None:
        self.forget(now)
        self.times.append(now)
        self.amounts.append(amount)
        self.total += amount
        self.peak = max(self.peak, self.total)

    def free_at(self, now: datetime) -> datetime:
        """Return when the oldest entry leaves the window."""
        return self.times[0] + self.span if self.times else now


@dataclass
class Usage:
    """The usage of one installation."""

    writes_minute: Window = field(default_factory=lambda: Window(MINUTE))
    writes_hour: Window = field(default_factory=lambda: Window(HOUR))
    points: Window = field(default_factory=lambda: Window(MINUTE))
    hour: Window = field(default_factory=lambda: Window(HOUR))  # requests, for the primary limit
    resets_at: datetime | None = None
    used: int = 0
    refused: int = 0


@dataclass
class Limits:
    """The limits, which may be changed at any time; None disables one."""

    now: Callable[[], datetime]
    primary: int | None = 5_000  # requests an hour; None: no x-ratelimit headers either, as on GHES
    writes_a_minute: int | None = 80
    writes_an_hour: int | None = 500
    points_a_minute: int | None = 900
    at_once: int | None = 100
    hint: Hint = "retry-after"  # what a secondary limit's response says of when to come back
    usage: dict[int, Usage] = field(default_factory=lambda: defaultdict(Usage))  # by installation
    running: int = 0
    most_at_once: int = 0

    def enter(self, installation_id: int, points: int, is_content: bool) -> None:
        """Count a request. Raises Refused with 403 without counting it."""
        now, usage = self.now(), self.usage[installation_id]
        self._count_primary(usage, now, installation_id)
        checks = [(usage.points, self.points_a_minute, points)]
        if is_content:
            checks += [(usage.writes_minute, self.writes_a_minute, 1), (usage.writes_hour, self.writes_an_hour, 1)]
        for window, limit, amount in checks:
            window.forget(now)
            if limit is not None and window.total + amount > limit:
                usage.refused += 1
                raise self._refusal(now, window.free_at(now))
        if self.at_once is not None and self.running > self.at_once:
            usage.refused += 1
            raise self._refusal(now, now + MINUTE)
        for window, _, amount in checks:
            window.add(now, amount)

    def headers(self, installation_id: int) -> dict[str, str]:
        """Return the headers about the primary limit."""
        if self.primary is None:
            return {}
        usage, now = self.usage[installation_id], self.now()
        resets_at = usage.resets_at or now + HOUR
        return {
            "x-ratelimit-limit": str(self.primary),
            "x-ratelimit-remaining": str(max(0, self.primary - usage.used)),
            "x-ratelimit-reset": str(int(resets_at.timestamp()) + 1),
            "x-ratelimit-used": str(min(usage.used, self.primary)),
            "x-ratelimit-resource": "core",
        }

    def peak_minute(self, installation_id: int | None = None) -> int:
        """Return the most content writes in any minute, of one installation or of the busiest."""
        return max((each.writes_minute.peak for each in self._of(installation_id)), default=0)

    def peak_hour(self, installation_id: int | None = None) -> int:
        return max((each.writes_hour.peak for each in self._of(installation_id)), default=0)

    def refused(self, installation_id: int | None = None) -> int:
        """Return how many requests hit a limit."""
        return sum(each.refused for each in self._of(installation_id))

    def _of(self, installation_id: int | None) -> list[Usage]:
        if installation_id is None:
            return list(self.usage.values())
        return [self.usage[installation_id]]

    def _count_primary(self, usage: Usage, now: datetime, installation_id: int) -> None:
        if self.primary is None:
            return
        if usage.resets_at is None or now >= usage.resets_at:
            usage.resets_at, usage.used = now + HOUR, 0
        if usage.used >= self.primary:
            usage.refused += 1
            raise Refused(403, f"API rate limit exceeded for installation ID {installation_id}.")
        usage.used += 1

    def _refusal(self, now: datetime, free_at: datetime) -> Refused:
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        seconds = max(1, int((free_at - now).total_seconds()) + 1)
        headers = {}
        if self.hint == "retry-after":
            headers["retry-after"] = str(seconds)
        elif self.hint == "reset":
            headers["x-ratelimit-remaining"] = "0"
            headers["x-ratelimit-reset"] = str(int(now.timestamp()) + seconds)
        return Refused(403, message, headers=headers)
