from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.github.rate_limits import (
    LONGEST_WAIT,
    MOST_REMEMBERED,
    POINTS_A_MINUTE,
    SHORTEST_WAIT,
    PointsLimiter,
    next_write,
    retry_at,
)

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
    def test_the_first_may_go_at_once(self) -> None:
        assert next_write([], NOW) == NOW

    def test_the_eightieth_of_a_minute_may_go_and_the_next_waits_for_the_first_to_leave(self) -> None:
        times = after(*range(0, 79))
        assert next_write(times, NOW + timedelta(seconds=40)) == NOW + timedelta(seconds=40)
        assert next_write([*times, *after(79)], NOW + timedelta(seconds=40)) == NOW + MINUTE

    def test_the_hour_binds_where_the_minute_does_not(self) -> None:
        times = after(*(7 * n for n in range(500)))  # the last at 3,493 s
        assert next_write(times, NOW + timedelta(seconds=3_500)) == NOW + HOUR

    def test_the_order_of_the_times_is_of_no_matter(self) -> None:
        times = after(*range(80))
        assert next_write(times[::-1], times[-1]) == next_write(times, times[-1])

    def test_slack_makes_the_windows_longer(self) -> None:
        assert next_write(after(*[0] * 80), NOW, slack=timedelta(seconds=2)) == NOW + timedelta(seconds=62)

    @given(st.lists(st.floats(0, 30), max_size=150))
    @example([0.0] * 150)
    def test_bursts_never_break_a_limit_and_are_never_held_longer_than_they_must(self, gaps: list[float]) -> None:
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

    def test_as_fast_as_it_goes_an_hour_has_500_writes_and_no_minute_more_than_80(self) -> None:
        times: list[datetime] = []
        moment = NOW
        for _ in range(1_200):
            moment = next_write(times[-500:], moment)
            times.append(moment)
        assert fullest(times, MINUTE) == 80
        assert fullest(times, HOUR) == 500
        assert times[1_000] == NOW + 2 * HOUR

    @given(st.lists(st.floats(-7_200, 7_200), max_size=700), st.floats(-10, 10))
    def test_writes_that_others_will_make_later_count_too(self, seconds: list[float], at: float) -> None:
        times = after(*seconds)
        moment = next_write(times, NOW + timedelta(seconds=at))
        for most, window in ((80, MINUTE), (500, HOUR)):
            assert sum(moment - window < t <= moment for t in times) < most


class TestPoints:
    def test_nine_hundred_points_a_minute_and_no_more(self) -> None:
        limiter = PointsLimiter()
        for _ in range(POINTS_A_MINUTE):
            assert limiter.next_request(1, 1, NOW) == NOW
            limiter.spend(1, 1, NOW)
        assert limiter.next_request(1, 1, NOW) == NOW + MINUTE

    def test_a_write_waits_for_as_many_reads_as_it_costs(self) -> None:
        limiter = PointsLimiter(most=10)
        for second in range(10):
            limiter.spend(1, 1, NOW + timedelta(seconds=second))
        now = NOW + timedelta(seconds=30)
        assert limiter.next_request(1, 1, now) == NOW + MINUTE
        assert limiter.next_request(1, 5, now) == NOW + MINUTE + timedelta(seconds=4)

    def test_installations_do_not_wait_for_each_other(self) -> None:
        limiter = PointsLimiter(most=5)
        limiter.spend(1, 5, NOW)
        assert limiter.next_request(2, 5, NOW) == NOW

    def test_the_quiet_are_forgotten_and_the_busy_are_not(self) -> None:
        limiter = PointsLimiter(most=5)
        for installation in range(10_000):
            limiter.spend(installation, 5, NOW + timedelta(seconds=installation))
        assert len(limiter._spent) <= MOST_REMEMBERED
        assert limiter.next_request(9_999, 1, NOW + timedelta(seconds=9_999)) > NOW + timedelta(seconds=9_999)

    def test_asking_spends_nothing(self) -> None:
        limiter = PointsLimiter(most=5)
        for _ in range(10):
            assert limiter.next_request(1, 5, NOW) == NOW

    @given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from([1, 5])), max_size=120))
    def test_no_minute_ever_costs_more(self, requests: list[tuple[float, int]]) -> None:
        limiter = PointsLimiter(most=20)
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
    @pytest.mark.parametrize("status", [200, 201, 401, 404, 422, 500, 503])
    def test_only_a_refusal_can_be_a_rate_limit(self, status: int) -> None:
        assert retry_at(status, {"retry-after": "60"}, "secondary rate limit", NOW) is None

    def test_a_plain_403_is_none(self) -> None:
        assert retry_at(403, {"x-ratelimit-remaining": "4000"}, "Resource not accessible by integration", NOW) is None

    @pytest.mark.parametrize(
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
    def test_every_hint_is_understood(self, headers: dict[str, str], message: str, seconds: int) -> None:
        assert retry_at(403, headers, message, NOW) == NOW + timedelta(seconds=seconds)

    @given(st.sampled_from([403, 429]), st.text(), st.text(), st.text(), st.text())
    def test_no_header_and_no_message_breaks_it(
        self, status: int, after: str, remaining: str, reset: str, message: str
    ) -> None:
        for left in (remaining, "0"):
            headers = {"retry-after": after, "x-ratelimit-remaining": left, "x-ratelimit-reset": reset}
            moment = retry_at(status, headers, message, NOW)
            assert moment is None or NOW + SHORTEST_WAIT <= moment <= NOW + LONGEST_WAIT
