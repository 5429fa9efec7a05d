from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reports import numbers


def test_times_are_iso_in_utc_and_clamped(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, str]] = [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (4_070_908_800, "2099-01-01T00:00:00Z"),
        (-(10**18), "0001-01-01T00:00:00Z"),
        (10**18, "9999-12-31T23:59:59Z"),
    ]
    for seconds, shown in cases:
        with subtests.test(seconds=seconds, shown=shown):
            assert numbers.iso(seconds) == shown
            assert numbers.day(seconds) == shown[:10]


def test_densities_keep_three_significant_digits() -> None:
    cases: list[tuple[float, str]] = [
        (0.0, "0"),
        (1.0, "1.0000"),
        (0.04123, "0.0412"),
        (0.3, "0.3000"),
        (0.00031, "0.000310"),
        (0.0099996, "0.01000"),
        (1e-12, "0.000000000"),
    ]
    wrong = [(value, got, shown) for value, shown in cases if (got := numbers.density(value)) != shown]
    assert wrong == []


@given(st.floats(1e-6, 1.0))
def test_a_shown_density_is_within_half_a_percent(value: float) -> None:
    assert float(numbers.density(value)) == pytest.approx(value, rel=0.0051)


def test_shares_are_0_or_100_percent_only_if_exact() -> None:
    cases: list[tuple[float, str]] = [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.042, "4.2 %"),
        (0.0949, "9.5 %"),
        (0.003, "0.30 %"),
        (0.000001, "0.01 %"),
        (0.999, "99.9 %"),
        (0.99999, "99.9 %"),
        (0.994, "99 %"),
    ]
    wrong = [(value, got, shown) for value, shown in cases if (got := numbers.share(value)) != shown]
    assert wrong == []


@pytest.mark.parametrize(("value", "shown"), [(0.084, "8 %"), (0.0, "0 %"), (1.0, "100 %"), (None, "–")])
def test_a_percentage_is_a_whole_number(value: float | None, shown: str) -> None:
    assert numbers.percentage(value) == shown


def test_spans_use_a_natural_unit() -> None:
    cases: list[tuple[float, str]] = [
        (1.0, "1 day"),
        (0.0, "0 days"),
        (91.0, "91 days"),
        (365.0, "12 months"),
        (730.0, "2.0 years"),
        (3_650.0, "10.0 years"),
    ]
    wrong = [(days, got, shown) for days, shown in cases if (got := numbers.span(days)) != shown]
    assert wrong == []


def test_short_counts_fit_over_a_bar() -> None:
    cases: list[tuple[int, str]] = [
        (0, "0"),
        (999, "999"),
        (1_000, "1.0k"),
        (9_949, "9.9k"),
        (9_960, "10k"),
        (999_499, "999k"),
        (1_500_000, "1.5M"),
    ]
    wrong = [(value, got, shown) for value, shown in cases if (got := numbers.short(value)) != shown]
    assert wrong == []


@pytest.mark.parametrize(("value", "shown"), [(0, "0 commits"), (1, "1 commit"), (1_234, "1,234 commits")])
def test_counts_have_the_right_plural(value: int, shown: str) -> None:
    assert numbers.counted(value, "commit") == shown


def test_an_irregular_plural_can_be_given() -> None:
    assert numbers.counted(2, "history", "histories") == "2 histories"


def test_a_correlation_has_three_decimals_and_a_true_minus() -> None:
    cases: list[tuple[float | None, bool, str]] = [
        (0.2414, False, "0.241"),
        (-0.0036, False, "−0.004"),
        (-0.0041, False, "−0.004"),
        (0.0041, True, "+0.004"),
        (-0.5, True, "−0.500"),
        (0.0, True, "+0.000"),
        (None, True, "–"),
    ]
    wrong = [
        (value, signed, got, shown)
        for value, signed, shown in cases
        if (got := numbers.rho(value, signed=signed)) != shown
    ]
    assert wrong == []


def test_an_interval_needs_both_ends() -> None:
    assert numbers.rho_interval(-0.1, 0.25, signed=True) == "−0.100 to +0.250"
    assert numbers.rho_interval(None, 0.25) == numbers.rho_interval(0.25, None) == "–"
    assert numbers.rho_interval(None, None) == "–"


def test_minutes_are_rounded_up() -> None:
    cases: list[tuple[float, str]] = [
        (0.0, "0 minutes"),
        (0.01, "1 minute"),
        (1.0, "1 minute"),
        (34.2, "35 minutes"),
        (1440.0, "1,440 minutes"),
    ]
    wrong = [(value, got, shown) for value, shown in cases if (got := numbers.minutes(value)) != shown]
    assert wrong == []
