"""Format numbers and times for people, the same way on pages, in terminals and in JSON."""

from __future__ import annotations

import math

from pipeline.records import iso_time

MINUS = "−"
NONE = "–"

iso = iso_time


def day(seconds: int) -> str:
    """Format Unix seconds as `2024-05-01`."""
    return iso(seconds)[:10]


def density(value: float) -> str:
    """Format with four decimals, or more if three significant digits need them: `0.0412`, `0.000310`, `0`."""
    if value == 0:
        return "0"
    decimals = min(max(4, 2 - math.floor(math.log10(abs(value)))), 9)
    return f"{value:.{decimals}f}"


def interval(low: float, high: float) -> str:
    """Format a density interval: `0.0350 to 0.0474`."""
    return f"{density(low)} to {density(high)}"


def rho(value: float | None, signed: bool = False) -> str:
    """Format a correlation or a difference of two: `0.241`, `−0.004`, `+0.004` if signed, `–` if None."""
    if value is None:
        return NONE
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", MINUS)


def rho_interval(low: float | None, high: float | None, signed: bool = False) -> str:
    """Format an interval of correlations: `0.201 to 0.281`, `–` if an end is None."""
    return NONE if low is None or high is None else f"{rho(low, signed=signed)} to {rho(high, signed=signed)}"


def minutes(value: float) -> str:
    """Format minutes, rounded up so as not to promise less: `1 minute`, `1,440 minutes`; `0 minutes` only for 0."""
    return counted(math.ceil(value - 1e-9), "minute")


def count(value: int) -> str:
    """Format a count: `1,440`."""
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """Format a count with its noun: `1 commit`, `2 commits`, `3,000 branches`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def share(value: float) -> str:
    """Format a percentage, with more digits if small: `83 %`, `4.2 %`, `0.03 %`; `0 %` and `100 %` only if exact."""
    percent = 100 * value
    if percent in (0.0, 100.0):
        return f"{percent:.0f} %"
    if 10 <= percent < 99.5:
        return f"{percent:.0f} %"
    if percent >= 99.5:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.1f} %" if percent >= 0.95 else f"{max(percent, 0.01):.2f} %"


def percentage(value: float | None) -> str:
    """Format a share as a whole percentage: `8 %`, `–` if None."""
    return NONE if value is None else f"{100 * value:.0f} %"


def span(days: float) -> str:
    """Format a duration: `3.0 years`, `14 months`, `20 days`."""
    if days >= 730:
        return f"{days / 365.25:.1f} years"
    if days >= 92:
        return f"{days / 30.4375:.0f} months"
    return counted(round(days), "day")


def size_mb(megabytes: float) -> str:
    """Format a size: `1,024 MB`."""
    return f"{megabytes:,.0f} MB"


def short(value: int) -> str:
    """Format a count to fit a narrow bar: `950`, `1.2k`, `34k`, `1.5M`; exact below a thousand."""
    if value < 1_000:
        return str(value)
    scaled, unit = (value / 1_000, "k") if value < 999_500 else (value / 1_000_000, "M")
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
