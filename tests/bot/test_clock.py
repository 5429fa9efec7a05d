import asyncio
import time
from datetime import UTC, datetime, timedelta

from bot.clock import FastClock, SystemClock


def test_the_system_clock_is_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_fast_clock_runs_faster_by_its_factor() -> None:
    started_at = datetime.now(UTC)
    clock = FastClock(started_at, 1_000)
    real_s = 0.05
    time.sleep(real_s)
    assert (clock.now() - started_at).total_seconds() >= 1_000 * real_s


def test_equal_fast_clocks_agree() -> None:
    started_at = datetime(2026, 1, 1, tzinfo=UTC)
    one, other = FastClock(started_at, 60), FastClock(started_at, 60)
    assert abs(one.now() - other.now()) < timedelta(seconds=60)


def test_sleeping_on_a_fast_clock_is_shortened() -> None:
    clock = FastClock(datetime.now(UTC), 1_000)
    before, real_before_s = clock.now(), time.monotonic()
    asyncio.run(clock.sleep(60))
    assert time.monotonic() - real_before_s < 10
    assert clock.now() - before >= timedelta(seconds=60)


def test_sleeping_a_negative_time_returns_immediately() -> None:
    asyncio.run(SystemClock().sleep(-1))
    asyncio.run(FastClock(datetime.now(UTC), 60).sleep(-1))
