from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.calibration.seed_records import CURVES
from pipeline.records import Curve
from pipeline.screening.signal import scale_of, signals

CREDITS = np.array([0.0, 0.7, 1.4, 7.0])
TOUCHES = np.array([0, 1, 4, 7])


def test_each_curve_gives_the_expected_signals() -> None:
    cases: list[tuple[Curve, list[float]]] = [
        ("relative", [0.0, 0.7, 1.0, 1.0]),  # S = max(1, 9.1 / 10)
        ("saturating", [0.0, 1 - 2**-0.7, 1 - 2**-1.4, 1 - 2**-7.0]),
        ("maximum", [0.0, 0.1, 0.2, 1.0]),
        ("share", [0.0, 0.7, 0.35, 1.0]),
        ("presence", [0.0, 1.0, 1.0, 1.0]),
    ]
    wrong = [
        (curve, expected, got, wanted)
        for curve, expected in cases
        if (got := signals(CREDITS, TOUCHES, curve, 10)) != (wanted := pytest.approx(expected))
    ]
    assert wrong == []


def test_the_scale_is_the_mean_of_the_ten_largest_credits_including_zeros() -> None:
    cases: list[tuple[list[float], float]] = [
        ([], 1.0),
        ([0.7], 1.0),
        ([30.0], 3.0),
        ([2.0] * 20, 2.0),
        ([5.0] * 5 + [0.0] * 50, 2.5),
    ]
    wrong = [
        (credits, scale, got, wanted)
        for credits, scale in cases
        if (got := scale_of(np.array(credits), 10)) != (wanted := pytest.approx(scale))
    ]
    assert wrong == []


@given(arrays(np.float64, st.integers(0, 50), elements=st.floats(0, 1e6)), st.sampled_from(CURVES))
def test_signals_are_between_zero_and_one_and_zero_without_credit(credits: np.ndarray, curve: Curve) -> None:
    found = signals(credits, np.ones(len(credits), dtype=np.int64), curve, 10)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[credits == 0] == 0).all()


@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1e3)), st.sampled_from(CURVES))
def test_more_credit_never_gives_less_signal(credits: np.ndarray, curve: Curve) -> None:
    ordered = np.sort(credits)
    found = signals(ordered, np.ones(len(ordered), dtype=np.int64), curve, 10)
    assert (np.diff(found) >= 0).all()


def test_an_unknown_curve_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown curve"):
        signals(CREDITS, TOUCHES, "cubic", 10)  # type: ignore[arg-type]
