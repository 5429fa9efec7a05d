from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.records import FunctionHistory
from pipeline.screening.density import clustered_interval, measure_density


def pair(path: str, credit: float, number: int = 0) -> FunctionHistory:
    return FunctionHistory(path, f"f{number}", 0, "Python", 1, 5, "0" * 40, credit, int(credit > 0), int(credit > 0))


def test_the_density_is_the_mean_over_all_pairs() -> None:
    pairs = [pair("a.py", 0.7), pair("a.py", 0.0), pair("b.py", 0.0), pair("c.py", 1.4)]
    density = measure_density(pairs, frozenset({"a.py", "c.py"}), MESSAGES)
    assert density is not None
    assert density.value == pytest.approx((0.7 + 1.0) / 4)
    assert (density.pairs, density.positives, density.positive_share) == (4, 2, 0.5)
    assert density.file_positive_share == 0.75
    assert density.curve == "relative"


def test_without_pairs_there_is_no_density() -> None:
    assert measure_density([], frozenset(), MESSAGES) is None


def test_a_single_pair_has_an_interval_too() -> None:
    density = measure_density([pair("a.py", 0.7)], frozenset(), MESSAGES)
    assert density is not None
    assert density.low == density.value == density.high


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 3)), min_size=1, max_size=60))
def test_the_density_and_its_interval_are_between_zero_and_one(rows: list) -> None:
    pairs = [pair(path, credit, number) for number, (path, credit) in enumerate(rows)]
    density = measure_density(pairs, frozenset(), MESSAGES)
    assert density is not None
    assert 0 <= density.low <= density.high <= 1
    assert 0 <= density.value <= 1


def test_the_order_of_the_pairs_does_not_matter() -> None:
    pairs = [pair(f"{i % 7}.py", (i * 37 % 11) / 7, i) for i in range(100)]
    one = measure_density(pairs, frozenset(), MESSAGES)
    other = measure_density(pairs[::-1], frozenset(), MESSAGES)
    assert one is not None
    assert other is not None
    assert one.value == other.value


def test_the_interval_has_its_nominal_coverage() -> None:
    """Files of ten correlated functions: an interval that ignored files would cover far less often."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(60):
        luck = random.random(60) < 0.3
        values = np.repeat(luck, 10).astype(float)
        low, high = clustered_interval(values, [str(i // 10) for i in range(600)])
        hits += low <= 0.3 <= high
    assert hits >= 51  # 95 % of 60 is 57; below 51 has a chance of about 1 in 1,000


def test_the_interval_is_wider_if_functions_in_a_file_are_correlated() -> None:
    values = np.repeat(np.arange(40) % 4 == 0, 10).astype(float)
    clustered = clustered_interval(values, [str(i // 10) for i in range(400)])
    single = clustered_interval(values, [str(i) for i in range(400)])
    assert clustered[1] - clustered[0] > 2 * (single[1] - single[0])
    assert math.isclose(sum(single) / 2, 0.25, abs_tol=0.02)
