from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.records import DAY_S
from pipeline.screening.windows import fit_windows, place_windows

NOW = 1_700_000_000


def test_a_history_of_five_years_has_the_default_windows() -> None:
    windows = place_windows(NOW - 1826 * DAY_S, NOW, MESSAGES)
    assert (windows.window_days, windows.horizon_days) == (730, 365)
    assert windows.eval_start == NOW - 365 * DAY_S
    assert windows.train_start == NOW - 1095 * DAY_S
    assert not windows.shortened
    assert not windows.too_little_history


def test_a_young_history_has_windows_of_two_thirds_of_its_age(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, float, bool]] = [
        (1642, 730, False),
        (900, 400, False),
        (405, 180, False),
        (404, 179.6, True),
        (0, 0, True),
    ]
    for age_days, window_days, too_little in cases:
        with subtests.test(age_days=age_days, window_days=window_days, too_little=too_little):
            windows = place_windows(NOW - age_days * DAY_S, NOW, MESSAGES)
            assert windows.window_days == pytest.approx(window_days, abs=0.5)
            assert windows.too_little_history == too_little


@given(st.integers(0, 40_000 * DAY_S), st.floats(0.05, 1))
def test_training_is_twice_the_horizon_and_never_reaches_back_before_the_first_third(age_s: int, scale: float) -> None:
    windows = place_windows(NOW - age_s, NOW, MESSAGES, scale)
    assert NOW - age_s <= windows.train_start <= windows.eval_start <= windows.as_of
    assert windows.window_days == pytest.approx(2 * windows.horizon_days, abs=1e-4)
    assert windows.window_days + windows.horizon_days <= age_s * 2 / 3 / DAY_S + 1e-4


def test_windows_shrink_until_enough_functions_are_alive() -> None:
    born = NOW - 700 * DAY_S
    windows = fit_windows(NOW - 3000 * DAY_S, NOW, MESSAGES, lambda time: 100 if time >= born else 29)
    assert windows.train_start >= born
    assert windows.shortened
    assert not windows.too_little_history
    larger = place_windows(NOW - 3000 * DAY_S, NOW, MESSAGES, windows.window_days / 730 / MESSAGES.shrink)
    assert larger.train_start < born


def test_thirty_percent_alive_are_enough() -> None:
    windows = fit_windows(NOW - 3000 * DAY_S, NOW, MESSAGES, lambda time: 100 if time > NOW - 400 * DAY_S else 30)
    assert not windows.shortened


def test_a_history_whose_functions_are_all_new_has_too_little_of_it() -> None:
    windows = fit_windows(NOW - 3000 * DAY_S, NOW, MESSAGES, lambda time: 100 if time > NOW - 10 * DAY_S else 0)
    assert not windows.too_little_history  # none alive at either time: 0 is 30 % of 0
    windows = fit_windows(NOW - 3000 * DAY_S, NOW, MESSAGES, lambda time: 100 if time > NOW - 366 * DAY_S else 0)
    assert windows.window_days == pytest.approx(2 * windows.horizon_days)


def test_a_head_dated_before_the_first_commit_gives_empty_windows() -> None:
    windows = place_windows(NOW, NOW - 5, MESSAGES)
    assert windows.too_little_history
    assert windows.window_days == 0
