"""Numbers and times as a person reads them; one spelling for the page, the terminal and the JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S = -62_135_596_800  # 0001-01-01, the first that `datetime` knows
_LAST_S = 253_402_300_799  # 9999-12-31T23:59:59

MINUS = "−"
NONE = "–"


def iso(seconds: int) -> str:
    """Seconds since 1970 as `2024-05-01T12:00:00Z`; a time outside the years 1 to 9999 becomes the nearest inside."""
    moment = _EPOCH + timedelta(seconds=min(max(seconds, _FIRST_S), _LAST_S))
    return moment.isoformat().replace("+00:00", "Z")


def day(seconds: int) -> str:
    """Seconds since 1970 as `2024-05-01`."""
    return iso(seconds)[:10]


def density(value: float) -> str:
    """Four decimals, and as many more as three significant digits need: `0.0412`, `0.000310`, `0`."""
    if value == 0:
        return "0"
    decimals = min(max(4, 2 - math.floor(math.log10(abs(value)))), 9)
    return f"{value:.{decimals}f}"


def interval(low: float, high: float) -> str:
    return f"{density(low)} to {density(high)}"


def rho(value: float | None, signed: bool = False) -> str:
    """A correlation or a difference of two: `0.241`, `−0.004`, `+0.004` where signed, `–` where there is none."""
    if value is None:
        return NONE
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", MINUS)


def rho_interval(low: float | None, high: float | None, signed: bool = False) -> str:
    return NONE if low is None or high is None else f"{rho(low, signed=signed)} to {rho(high, signed=signed)}"


def minutes(value: float) -> str:
    """Rounded up, so that nobody is promised less: `1 minute`, `1,440 minutes`, `0 minutes` only for none at all."""
    return counted(math.ceil(value - 1e-9), "minute")


def count(value: int) -> str:
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """`1 commit`, `2 commits`, `3,000 branches`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def share(value: float) -> str:
    """A percentage with a digit more where it is small: `83 %`, `4.2 %`, `0.03 %`; never 0 or 100 unless it is."""
    percent = 100 * value
    if percent in (0.0, 100.0):
        return f"{percent:.0f} %"
    if 10 <= percent < 99.5:
        return f"{percent:.0f} %"
    if percent >= 99.5:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.1f} %" if percent >= 0.95 else f"{max(percent, 0.01):.2f} %"


def span(days: float) -> str:
    """A stretch of time: `3.0 years`, `14 months`, `20 days`."""
    if days >= 730:
        return f"{days / 365.25:.1f} years"
    if days >= 92:
        return f"{days / 30.4375:.0f} months"
    return counted(round(days), "day")


def size_mb(megabytes: float) -> str:
    return f"{megabytes:,.0f} MB"


def short(value: int) -> str:
    """A count that fits over a narrow bar: `950`, `1.2k`, `34k`, `1.5M`; exact below a thousand."""
    if value < 1_000:
        return str(value)
    scaled, unit = (value / 1_000, "k") if value < 999_500 else (value / 1_000_000, "M")
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
