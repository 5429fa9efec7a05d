from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages.what_would_change import MIN_HISTORY_DAYS, what_would_change
from pipeline.label_recipe import MESSAGES
from pipeline.records import DAY_S, Density, Threshold
from pipeline.screening.measurement import Measurement
from pipeline.screening.windows import place_windows
from tests.bot.messages.screenings import CALIBRATION, DENSE, MEASUREMENT, WINDOWS, at_density

THRESHOLD = CALIBRATION.threshold


def changed(measurement: Measurement, threshold: Threshold = THRESHOLD) -> str:
    return "\n".join(what_would_change(measurement, threshold))


def test_the_minimum_history_is_just_long_enough_for_the_windows() -> None:
    assert place_windows(0, MIN_HISTORY_DAYS * DAY_S, MESSAGES).too_little_history is False
    assert place_windows(0, (MIN_HISTORY_DAYS - 1) * DAY_S, MESSAGES).too_little_history is True


def test_a_young_repository_is_told_how_many_days_are_missing() -> None:
    young = dataclasses.replace(WINDOWS, history_days=100.2, too_little_history=True)
    assert changed(dataclasses.replace(MEASUREMENT, windows=young)) == (
        "More history: a verdict needs 405 days, 305 more than there are."
    )


def test_an_old_history_of_young_code_needs_older_code() -> None:
    young = dataclasses.replace(WINDOWS, history_days=4_000.0, too_little_history=True)
    assert "Older code: too few functions existed when a training window of 180 days" in changed(
        dataclasses.replace(MEASUREMENT, windows=young)
    )


def test_a_small_repository_is_told_how_many_functions_and_fixes_are_missing() -> None:
    small = dataclasses.replace(MEASUREMENT, held_out=90, held_out_positives=19)
    lines = what_would_change(small, THRESHOLD)
    assert lines[0] == "More code: about 275 more functions, so that a run can be judged."
    assert lines[1] == "More fixes in the period reserved for judging a run: in about 3 more functions."
    assert "below the threshold" not in changed(small)


def test_a_run_is_told_how_many_fewer_fixes_would_flip_it() -> None:
    # each of the 389 has a mean signal of 0.0394 * 4210 / 389 = 0.4264; the surplus is 0.02006 * 4210 = 84.45
    assert "If about 199 of the 389 functions with a fix had none" in changed(MEASUREMENT)


def test_a_skip_is_told_how_many_more_fixes_would_flip_it() -> None:
    # 64 functions of mean signal 0.0065 * 4210 / 64 = 0.4276; missing is (0.01934 - 0.0065) * 4210 = 54.06
    assert "If about 127 more functions had a fix, on top of the 64 that do" in changed(at_density(0.0065))


def test_without_any_fix_a_minimum_is_given() -> None:
    none = dataclasses.replace(DENSE, value=0.0, low=0.0, high=0.0, positives=0, positive_share=0.0)
    assert "at least 82 functions of 4,210 would need one" in changed(dataclasses.replace(MEASUREMENT, density=none))


def test_an_unreachable_threshold_is_reported() -> None:
    few = dataclasses.replace(DENSE, value=0.0001, positives=4_000, positive_share=0.95)
    assert "even a fix in every function would not reach it" in changed(dataclasses.replace(MEASUREMENT, density=few))


def test_without_a_density_there_is_nothing_to_count() -> None:
    assert what_would_change(dataclasses.replace(MEASUREMENT, density=None), THRESHOLD) == []


@pytest.mark.parametrize(
    ("kind", "is_shown"), [("issue", False), ("label", False), ("prefix", True), ("keyword", True)]
)
def test_if_only_subjects_were_read_the_text_says_how_to_word_a_fix(kind: str, is_shown: bool) -> None:
    assert ("Only commit subjects" in changed(dataclasses.replace(MEASUREMENT, evidence={kind: 1.0}))) is is_shown


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0.0001, 1), st.floats(0.0001, 1))
def test_as_many_fixes_as_it_says_are_enough_and_one_fewer_is_not(
    pairs: int, positive_share: float, signal: float, value: float
) -> None:
    positives = math.ceil(pairs * positive_share)
    mean = positives / pairs * signal
    density = Density(mean, mean, mean, pairs, positives, positive_share, 0.0, 1.0, "relative")
    threshold = dataclasses.replace(THRESHOLD, value=value)
    said = what_would_change(dataclasses.replace(MEASUREMENT, density=density), threshold)[0]
    numbers = [int(word.replace(",", "")) for word in said.split() if word.replace(",", "").isdigit()]
    if said.startswith("If about") and "more function" in said:
        assert (positives + numbers[0]) * signal / pairs >= value * (1 - 1e-9)
        assert (positives + numbers[0] - 1) * signal / pairs <= value * (1 + 1e-9)
    elif said.startswith("If about"):
        assert (positives - numbers[0]) * signal / pairs <= value * (1 + 1e-9)
        assert numbers[0] <= positives + 1
