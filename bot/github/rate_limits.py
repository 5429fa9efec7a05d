"""When the next request may be made: GitHub's limits as arithmetic. No clock is read here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

WRITES = ((80, timedelta(minutes=1)), (500, timedelta(hours=1)))  # that make content, of one installation
POINTS_A_MINUTE = 900
READ_POINTS = 1
WRITE_POINTS = 5
MINUTE = timedelta(minutes=1)
MOST_REMEMBERED = 500  # installations; with more, those that have been quiet for a minute are forgotten

SECONDARY_WAIT = timedelta(seconds=60)  # where GitHub does not say how long
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(hours=2)  # a header that says more is wrong: the primary limit starts anew each hour


def next_write(times: Sequence[datetime], now: datetime, *, slack: timedelta = timedelta(0)) -> datetime:
    """The first moment from `now` on at which one more write keeps to 80 in any minute and 500 in any hour.

    `times` are the writes so far, in any order. A window takes in its end and not its start. `slack` makes each
    window longer, for requests that do not arrive when they are sent.
    """
    ordered = sorted(times)
    moment = now
    for most, window in WRITES:
        if len(ordered) >= most:
            moment = max(moment, ordered[-most] + window + slack)
    return moment


class PointsLimiter:
    """Points a minute of each installation, counted in this process: reads cost 1, writes 5."""

    def __init__(self, most: int = POINTS_A_MINUTE) -> None:
        self._most = most
        self._spent: dict[int, deque[tuple[datetime, int]]] = {}

    def next_request(self, installation_id: int, points: int, now: datetime) -> datetime:
        """The first moment from `now` on at which there are points for it. Nothing is spent yet."""
        spent = self._recent(installation_id, now)
        total = sum(cost for _, cost in spent)
        moment = max(now, spent[-1][0]) if spent else now
        for at, cost in spent:
            if total + points <= self._most and at > moment - MINUTE:
                break
            moment = max(moment, at + MINUTE)
            total -= cost
        return moment

    def spend(self, installation_id: int, points: int, moment: datetime) -> None:
        if installation_id not in self._spent and len(self._spent) >= MOST_REMEMBERED:
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
    """When to ask again after an answer that a rate limit refused; none where no rate limit did.

    `headers` have lower-case names. GitHub may say so in Retry-After, in x-ratelimit-*, or in the message alone.
    """
    if status not in (403, 429):
        return None
    if (asked := _retry_after(headers.get("retry-after", ""), now)) is not None:
        return _bounded(asked, now)
    said = message.lower()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and "secondary" not in said:
        return _bounded(_reset(headers.get("x-ratelimit-reset", ""), now), now)
    if status == 429 or "rate limit" in said or "abuse" in said:
        return now + SECONDARY_WAIT
    return None


def _retry_after(text: str, now: datetime) -> datetime | None:
    """Seconds or an HTTP date; none where there is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return now + min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reset(text: str, now: datetime) -> datetime:
    if text.isascii() and text.isdigit() and len(text) < 12:
        return datetime.fromtimestamp(int(text), UTC)
    return now + SECONDARY_WAIT


def _bounded(moment: datetime, now: datetime) -> datetime:
    return min(max(moment, now + SHORTEST_WAIT), now + LONGEST_WAIT)
