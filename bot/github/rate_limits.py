"""GitHub's rate limits as arithmetic: when the next request may be sent. Reads no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

WRITES = ((80, timedelta(minutes=1)), (500, timedelta(hours=1)))  # content-creating requests per installation
POINTS_PER_MINUTE = 900
READ_POINTS = 1
WRITE_POINTS = 5
MINUTE = timedelta(minutes=1)
MAX_TRACKED_INSTALLATIONS = 500  # above this, drop those that have been idle for a minute

SECONDARY_WAIT = timedelta(seconds=60)  # if GitHub does not say how long
MIN_WAIT = timedelta(seconds=1)
MAX_WAIT = timedelta(hours=2)  # a header that says more is wrong: the primary limit resets every hour


def next_write(times: Sequence[datetime], now: datetime, *, slack: timedelta = timedelta(0)) -> datetime:
    """Return when the next write may be sent, from `now` on: at most 80 in any minute and 500 in any hour.

    `times` are the writes so far, in any order. A window includes its end and excludes its start. `slack` lengthens
    each window to allow for requests that arrive later than they are sent.
    """
    ordered = sorted(times)
    moment = now
    for limit, window in WRITES:
        if len(ordered) >= limit:
            moment = max(moment, ordered[-limit] + window + slack)
    return moment


class PointsLimiter:
    """Points per minute and installation, counted in this process: a read costs 1, a write 5."""

    def __init__(self, max_points: int = POINTS_PER_MINUTE) -> None:
        self._max_points = max_points
        self._spent: dict[int, deque[tuple[datetime, int]]] = {}

    def next_request(self, installation_id: int, points: int, now: datetime) -> datetime:
        """Return when `points` will be available, from `now` on, without spending them."""
        spent = self._recent(installation_id, now)
        total = sum(cost for _, cost in spent)
        moment = max(now, spent[-1][0]) if spent else now
        for at, cost in spent:
            if total + points <= self._max_points and at > moment - MINUTE:
                break
            moment = max(moment, at + MINUTE)
            total -= cost
        return moment

    def spend(self, installation_id: int, points: int, moment: datetime) -> None:
        if installation_id not in self._spent and len(self._spent) >= MAX_TRACKED_INSTALLATIONS:
            self._spent = {i: spent for i, spent in self._spent.items() if spent[-1][0] > moment - MINUTE}
        self._spent.setdefault(installation_id, deque()).append((moment, points))

    def _recent(self, installation_id: int, now: datetime) -> deque[tuple[datetime, int]]:
        spent = self._spent.get(installation_id)
        if spent is None:
            return deque()
        while spent and spent[0][0] <= now - MINUTE:
            spent.popleft()
        if not spent:
            del self._spent[installation_id]
        return spent


def retry_at(status: int, headers: Mapping[str, str], message: str, now: datetime) -> datetime | None:
    """Return when to retry after a rate-limit response, or None if it is not one.

    `headers` have lower-case names. GitHub signals a limit by Retry-After, by x-ratelimit-*, or by the message alone.
    """
    if status not in (403, 429):
        return None
    if (moment := _parse_retry_after(headers.get("retry-after", ""), now)) is not None:
        return _bounded(moment, now)
    text = message.lower()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and "secondary" not in text:
        return _bounded(_parse_reset(headers.get("x-ratelimit-reset", ""), now), now)
    if status == 429 or "rate limit" in text or "abuse" in text:
        return now + SECONDARY_WAIT
    return None


def _parse_retry_after(text: str, now: datetime) -> datetime | None:
    """Parse seconds or an HTTP date; None for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return now + min(timedelta(seconds=int(text[:9])), MAX_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_reset(text: str, now: datetime) -> datetime:
    if text.isascii() and text.isdigit() and len(text) < 12:
        return datetime.fromtimestamp(int(text), UTC)
    return now + SECONDARY_WAIT


def _bounded(moment: datetime, now: datetime) -> datetime:
    return min(max(moment, now + MIN_WAIT), now + MAX_WAIT)
