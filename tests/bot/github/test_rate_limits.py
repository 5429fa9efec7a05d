from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from bot.github.rate_limits import (
    MAX_TRACKED_INSTALLATIONS,
    MAX_WAIT,
    MIN_WAIT,
    POINTS_PER_MINUTE,
    PointsLimiter,
    next_write,
    retry_at,
)
from tests.rows import each_row

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def after(*seconds: float) -> list[datetime]:
    return [NOW + timedelta(seconds=s) for s in seconds]


def fullest(times: list[datetime], window: timedelta) -> int:
    """The most writes in any window that ends at a write."""
    return max((sum(end - window < t <= end for t in times) for end in times), default=0)


def keeps_the_limits(times: list[datetime]) -> bool:
    return fullest(times, MINUTE) <= 80 and fullest(times, HOUR) <= 500


class TestNextWrite:
    def test_the_first_write_is_immediate(self) -> None:
        assert next_write([], NOW) == NOW

    def test_eighty_writes_fit_into_a_minute(self) -> None:
        times = after(*range(0, 79))
        assert next_write(times, NOW + timedelta(seconds=40)) == NOW + timedelta(seconds=40)
        assert next_write([*times, *after(79)], NOW + timedelta(seconds=40)) == NOW + MINUTE

    def test_the_hourly_limit_applies_below_the_minute_limit(self) -> None:
        times = after(*(7 * n for n in range(500)))  # the last at 3,493 s
        assert next_write(times, NOW + timedelta(seconds=3_500)) == NOW + HOUR

    def test_the_order_of_times_does_not_matter(self) -> None:
        times = after(*range(80))
        assert next_write(times[::-1], times[-1]) == next_write(times, times[-1])

    def test_slack_lengthens_the_windows(self) -> None:
        assert next_write(after(*[0] * 80), NOW, slack=timedelta(seconds=2)) == NOW + timedelta(seconds=62)

    @given(st.lists(st.floats(0, 30), max_size=150))
    @example([0.0] * 150)
    def test_bursts_keep_the_limits_with_minimal_delay(self, gaps: list[float]) -> None:
        times: list[datetime] = []
        now = NOW
        for gap in gaps:
            now += timedelta(seconds=gap)
            moment = next_write(times, now)
            assert moment >= now
            if moment > now:
                assert not keeps_the_limits([*times, moment - timedelta(microseconds=1)])
            times.append(moment)
            now = moment
        assert keeps_the_limits(times)

    def test_maximum_throughput_is_500_an_hour_and_80_a_minute(self) -> None:
        times: list[datetime] = []
        moment = NOW
        for _ in range(1_200):
            moment = next_write(times[-500:], moment)
            times.append(moment)
        assert fullest(times, MINUTE) == 80
        assert fullest(times, HOUR) == 500
        assert times[1_000] == NOW + 2 * HOUR

    @given(st.lists(st.floats(-7_200, 7_200), max_size=700), st.floats(-10, 10))
    def test_scheduled_writes_count(self, seconds: list[float], at: float) -> None:
        times = after(*seconds)
        moment = next_write(times, NOW + timedelta(seconds=at))
        for most, window in ((80, MINUTE), (500, HOUR)):
            assert sum(moment - window < t <= moment for t in times) < most


class TestPoints:
    def test_at_most_900_points_a_minute_are_spent(self) -> None:
        limiter = PointsLimiter()
        for _ in range(POINTS_PER_MINUTE):
            assert limiter.next_request(1, 1, NOW) == NOW
            limiter.spend(1, 1, NOW)
        assert limiter.next_request(1, 1, NOW) == NOW + MINUTE

    def test_a_write_waits_for_its_cost(self) -> None:
        limiter = PointsLimiter(max_points=10)
        for second in range(10):
            limiter.spend(1, 1, NOW + timedelta(seconds=second))
        now = NOW + timedelta(seconds=30)
        assert limiter.next_request(1, 1, now) == NOW + MINUTE
        assert limiter.next_request(1, 5, now) == NOW + MINUTE + timedelta(seconds=4)

    def test_installations_are_independent(self) -> None:
        limiter = PointsLimiter(max_points=5)
        limiter.spend(1, 5, NOW)
        assert limiter.next_request(2, 5, NOW) == NOW

    def test_only_idle_installations_are_dropped(self) -> None:
        limiter = PointsLimiter(max_points=5)
        for installation in range(10_000):
            limiter.spend(installation, 5, NOW + timedelta(seconds=installation))
        assert len(limiter._spent) <= MAX_TRACKED_INSTALLATIONS
        assert limiter.next_request(9_999, 1, NOW + timedelta(seconds=9_999)) > NOW + timedelta(seconds=9_999)

    def test_querying_spends_no_points(self) -> None:
        limiter = PointsLimiter(max_points=5)
        for _ in range(10):
            assert limiter.next_request(1, 5, NOW) == NOW

    @given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from([1, 5])), max_size=120))
    def test_no_minute_exceeds_the_points(self, requests: list[tuple[float, int]]) -> None:
        limiter = PointsLimiter(max_points=20)
        spent: list[tuple[datetime, int]] = []
        now = NOW
        for gap, points in requests:
            now += timedelta(seconds=gap)
            moment = limiter.next_request(1, points, now)
            limiter.spend(1, points, moment)
            spent.append((moment, points))
        for end, _ in spent:
            assert sum(points for at, points in spent if end - MINUTE < at <= end) <= 20
        assert all(a[0] <= b[0] for a, b in pairwise(spent))


class TestRetryAt:
    @each_row("status", [200, 201, 401, 404, 422, 500, 503])
    def test_only_403_and_429_can_be_rate_limits(self, status: int) -> None:
        assert retry_at(status, {"retry-after": "60"}, "secondary rate limit", NOW) is None

    def test_a_plain_403_is_not_a_rate_limit(self) -> None:
        assert retry_at(403, {"x-ratelimit-remaining": "4000"}, "Resource not accessible by integration", NOW) is None

    @each_row(
        ("headers", "message", "seconds"),
        [
            ({"retry-after": "5"}, "", 5),
            ({"retry-after": "0"}, "", 1),
            ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, "", 30),
            ({"retry-after": "Sun, 22 Nov 2026 11:00:30 GMT"}, "", 1),
            ({"retry-after": "99999999999999999999"}, "", 7_200),
            ({"retry-after": "soon"}, "You have exceeded a secondary rate limit", 60),
            ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 90)}, "", 90),
            ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) - 90)}, "", 1),
            ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "٣"}, "", 60),
            ({"x-ratelimit-remaining": "0"}, "", 60),
            (
                {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 900)},
                "You have exceeded a secondary rate limit",
                60,
            ),
        ],
    )
    def test_every_rate_limit_hint_is_parsed(self, headers: dict[str, str], message: str, seconds: int) -> None:
        assert retry_at(403, headers, message, NOW) == NOW + timedelta(seconds=seconds)

    @given(st.sampled_from([403, 429]), st.text(), st.text(), st.text(), st.text())
    def test_any_headers_and_message_are_handled(
        self, status: int, after: str, remaining: str, reset: str, message: str
    ) -> None:
        for left in (remaining, "0"):
            headers = {"retry-after": after, "x-ratelimit-remaining": left, "x-ratelimit-reset": reset}
            moment = retry_at(status, headers, message, NOW)
            assert moment is None or NOW + MIN_WAIT <= moment <= NOW + MAX_WAIT
