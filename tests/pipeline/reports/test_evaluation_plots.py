from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ranking.statistics import precision_at, recall_at_lines
from pipeline.reports.evaluation_plots import (
    CURVE_STEPS,
    LinearScale,
    best_possible,
    compared_by_tenth,
    cumulative_gains,
    rates_by_tenth,
    recall_curves,
    whiskers,
)
from tests.builders import evaluations as build

# Four functions of 1, 2, 2 and 5 lines; the second and third have the same score; the first and third were fixed.
FOUR = build.table({"baseline": [3, 2, 2, 1]}, [1, 0, 0.5, 0], [1, 2, 2, 5])

FUNCTIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.booleans()), min_size=1, max_size=30)


def test_positives_accumulate_linearly_within_a_tie_group() -> None:
    found = cumulative_gains([3, 2, 2, 1], [1, 2, 2, 5], [True, False, True, False])
    assert found.inspected == (0, 1, 5, 10)
    assert found.found == (0, 1, 2, 2)
    assert [found.at(x) for x in (0, 0.5, 1, 3, 5, 10)] == [0, 0.5, 1, 1.5, 2, 2]


def test_items_of_size_zero_are_found_immediately() -> None:
    found = cumulative_gains([3, 2, 1], [0, 4, 0], [True, False, True])
    assert (found.at(0), found.at(2), found.at(4)) == (1, 1, 2)


def test_a_nan_score_is_rejected() -> None:
    with pytest.raises(ValueError, match="not a number"):
        cumulative_gains([1, float("nan")], [1, 1], [True, False])


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_accumulated_positives_are_the_mean_over_tie_orders(functions: list[tuple[int, bool]]) -> None:
    found = cumulative_gains([s for s, _ in functions], [1] * len(functions), [p for _, p in functions])
    orders = [sorted(order, key=lambda f: -f[0]) for order in permutations(functions)]
    for count in range(len(functions) + 1):
        mean = sum(sum(p for _, p in order[:count]) for order in orders) / len(orders)
        assert found.at(count) == pytest.approx(mean)


def test_recall_is_sampled_at_equal_shares_of_the_lines() -> None:
    (curve,) = recall_curves(FOUR)
    at = {percent: curve.recalls[CURVE_STEPS * percent // 100] for percent in (0, 10, 20, 30, 50, 100)}
    assert at == {0: 0, 10: 0.5, 20: 0.625, 30: 0.75, 50: 1, 100: 1}
    assert curve.at_20_percent == 0.625


def test_the_best_possible_curve_reads_the_shortest_fixed_functions_first() -> None:
    best = best_possible(FOUR)
    assert best is not None
    assert [best.recalls[CURVE_STEPS * percent // 100] for percent in (5, 10, 20, 30, 90)] == [0.25, 0.5, 0.75, 1, 1]


@given(FUNCTIONS)
def test_a_curve_rises_from_0_to_1_below_the_best_possible_and_matches_the_table(
    functions: list[tuple[int, int, bool]],
) -> None:
    scores, lines, fixed = (list(values) for values in zip(*functions, strict=True))
    table = build.table({"baseline": scores}, [float(f) for f in fixed], lines)
    curves, best = recall_curves(table), best_possible(table)
    assert len(curves) == (table.rows[0].quality.rho is not None)
    assert (best is None) == (not any(fixed))
    for curve in curves:
        assert best is not None
        assert curve.recalls[0] == 0
        assert curve.recalls[-1] == pytest.approx(1)
        assert all(b - a >= -1e-9 for a, b in zip(curve.recalls, curve.recalls[1:], strict=False))
        assert all(mine <= ideal + 1e-9 for mine, ideal in zip(curve.recalls, best.recalls, strict=True))
        assert curve.at_20_percent == pytest.approx(
            recall_at_lines(0.2, table.rows[0].scores, np.array(fixed), np.array(lines, float))
        )


def test_a_scorer_without_a_ranking_has_no_curve() -> None:
    assert [curve.name for curve in recall_curves(build.functions())] == ["baseline", "size"]


def test_without_positives_there_is_no_curve() -> None:
    nothing = build.table({"baseline": [1, 2, 3]}, [0, 0, 0])
    assert recall_curves(nothing) == ()
    assert best_possible(nothing) is None
    assert compared_by_tenth(nothing) == ()


def rates(scores: list[float], labels: list[float]) -> list[float]:
    row = build.table({"baseline": scores}, labels).rows[0]
    return [round(rate, 9) for rate in rates_by_tenth(row, labels).rates]


def test_a_tenth_of_twenty_functions_is_two() -> None:
    assert rates([20.0 - i for i in range(20)], [1.0] * 3 + [0.0] * 17) == [1, 0.5, 0, 0, 0, 0, 0, 0, 0, 0]


def test_a_function_on_a_border_is_split_between_both_tenths() -> None:
    assert rates([5, 4, 3, 2, 1], [1, 0, 1, 0, 0]) == [1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
    fifteen = [float(15 - i) for i in range(15)]
    assert rates(fifteen, [0.0, 1.0, *[0.0] * 13])[:3] == [round(0.5 / 1.5, 9), round(0.5 / 1.5, 9), 0]


def test_ties_are_spread_evenly_over_the_tenths() -> None:
    assert rates([1.0] * 8 + [0.0] * 2, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]) == [0.25] * 8 + [0.5] * 2


@given(FUNCTIONS)
def test_the_mean_rate_of_the_tenths_is_the_prevalence(functions: list[tuple[int, int, bool]]) -> None:
    scores, _, fixed = (list(values) for values in zip(*functions, strict=True))
    found = rates([float(s) for s in scores], [float(f) for f in fixed])
    assert sum(found) / 10 == pytest.approx(sum(fixed) / len(fixed))
    assert all(-1e-9 <= rate <= 1 + 1e-9 for rate in found)


def test_the_first_tenth_of_a_hundred_functions_equals_precision_at_10() -> None:
    scores, labels = [float(i % 7) for i in range(100)], [float(i % 3 == 0) for i in range(100)]
    assert rates(scores, labels)[0] == pytest.approx(precision_at(10, np.array(scores), np.array(labels) > 0))


def test_the_baseline_is_compared_with_the_best_other() -> None:
    names = [shown.name for shown in compared_by_tenth(build.functions())]
    assert names == ["baseline", "size"]
    flat = build.table({"baseline": [1, 1, 1], "one": [1, 2, 3], "other": [3, 2, 1]}, [1, 0, 0])
    assert [shown.name for shown in compared_by_tenth(flat)] == ["other"]


# -- ρ with its interval


def test_scorers_are_sorted_by_rho_with_unranked_ones_last() -> None:
    plot = whiskers(build.functions())
    assert [(row.name, row.baseline) for row in plot.rows] == [("size", False), ("baseline", True), ("nothing", False)]
    size, baseline, nothing = plot.rows
    drawn = [plot.zero, baseline.at, size.at, plot.ceiling]
    assert drawn == sorted(known for known in drawn if known is not None)
    interval = [size.low, size.at, size.high]
    assert interval == sorted(known for known in interval if known is not None)
    assert (nothing.at, nothing.low, nothing.reason) == (None, None, "all 240 scores are equal: no ranking")


def test_without_an_interval_there_is_a_point_and_a_reason() -> None:
    plot = whiskers(build.table({"baseline": [3, 2, 1]}, [1, 0, 0], files=["a.py"] * 3))
    (row,) = plot.rows
    assert row.at is not None
    assert (row.low, row.high) == (None, None)
    assert "are in one file" in row.reason


def test_without_any_ranking_there_is_still_an_axis() -> None:
    plot = whiskers(build.table({"baseline": [1, 1]}, [1, 0]))
    assert (plot.zero, plot.ceiling) == (0.5, None)
    assert [tick.label for tick in plot.ticks] == ["−0.1", "−0.05", "0", "0.05", "0.1"]


def test_an_axis_has_a_margin_around_its_values_and_zero() -> None:
    scale = LinearScale.around([0.2, 0.5])
    assert scale.low == pytest.approx(-0.03)
    assert scale.high == pytest.approx(0.53)
    assert scale.ticks() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert (scale.position(-9), scale.position(9)) == (0, 1)
    assert scale.position(0.25) == pytest.approx(0.5)


@given(st.lists(st.floats(-1, 1), max_size=8))
def test_an_axis_contains_all_values_and_has_few_round_ticks(values: list[float]) -> None:
    scale = LinearScale.around(values)
    assert all(0 < scale.position(value) < 1 for value in values)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 9
    assert 0.0 in ticks
    assert all(scale.low <= tick <= scale.high for tick in ticks)
