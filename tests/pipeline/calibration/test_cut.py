from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.calibration.cut import Points, bootstrap_counts, leave_one_out_counts, place_cuts

# density, won, cost; densities on a grid, so that ties of cost and of width are common
point = st.tuples(st.integers(0, 12), st.booleans(), st.sampled_from([0.5, 1.0, 2.0]))
with_both_classes = st.lists(point, min_size=2, max_size=12).filter(
    lambda points: len({won for _, won, _ in points}) == 2
)


def make(points: list[tuple[float, bool, float]]) -> Points:
    densities, won, costs = zip(*points, strict=True)
    return Points(np.array(densities, float), np.array(won, bool), np.array(costs, float))


def cut_of(points: list[tuple[float, bool, float]], previous: float | None = None) -> float:
    return float(place_cuts(make(points), np.ones((1, len(points))), previous)[0])


def cost_at(points: list[tuple[float, bool, float]], cut: float) -> float:
    return sum(cost for density, won, cost in points if (density >= cut) != won)


def by_brute_force(points: list[tuple[float, bool, float]], previous: float | None) -> float:
    """Apply the documented rule gap by gap."""
    densities = sorted({density for density, _, _ in points})
    gaps = list(pairwise(densities))
    always = min(sum(c for _, won, c in points if not won), sum(c for _, won, c in points if won))
    costs = {gap: cost_at(points, sum(gap) / 2) for gap in gaps}
    if not gaps or min(costs.values()) >= always:
        return (min(d for d, won, _ in points if won) + max(d for d, won, _ in points if not won)) / 2
    best = [gap for gap in gaps if costs[gap] == min(costs.values())]
    widest = [gap for gap in best if gap[1] - gap[0] == max(high - low for low, high in best)]
    middles = sorted(sum(gap) / 2 for gap in widest)
    return middles[0] if previous is None else min(middles, key=lambda middle: abs(middle - previous))


@given(with_both_classes, st.none() | st.integers(0, 12))
def test_the_cut_equals_a_brute_force_application_of_the_rule(points: list, previous: int | None) -> None:
    assert cut_of(points, previous) == by_brute_force(points, previous)


@given(with_both_classes)
def test_no_cut_costs_less_unless_a_constant_verdict_is_as_good(points: list) -> None:
    densities = sorted({density for density, _, _ in points})
    others = [cost_at(points, (low + high) / 2) for low, high in pairwise(densities)]
    always = min(cost_at(points, -1.0), cost_at(points, 99.0))
    assert cost_at(points, cut_of(points)) <= min(others, default=always) or always <= min(others, default=always)


@given(with_both_classes, st.sampled_from([0.001, 0.1, 3.0, 1000.0]), st.none() | st.integers(0, 12))
def test_the_cut_scales_with_the_densities(points: list, factor: float, previous: int | None) -> None:
    scaled = [(density * factor, won, cost) for density, won, cost in points]
    before = None if previous is None else previous * factor
    assert cut_of(scaled, before) == pytest.approx(cut_of(points, previous) * factor, rel=1e-9)


@given(with_both_classes, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points: list, random) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)
    assert cut_of(shuffled) == cut_of(points)


@settings(max_examples=30, deadline=None)
@given(with_both_classes)
def test_many_sets_give_the_same_cuts_as_each_alone(points: list) -> None:
    whole = make(points)
    counts = bootstrap_counts(whole, 20, 7)
    alone = []
    for row in counts:
        repeated = [p for p, times in zip(points, row, strict=True) for _ in range(int(times))]
        alone.append(cut_of(repeated))
    assert place_cuts(whole, counts, None).tolist() == alone


def test_resamples_keep_class_sizes_and_are_reproducible() -> None:
    points = make([(1, True, 1), (2, True, 1), (3, False, 1), (4, False, 1), (5, False, 1)])
    counts = bootstrap_counts(points, 50, 3)
    assert (counts[:, :2].sum(axis=1) == 2).all()
    assert (counts[:, 2:].sum(axis=1) == 3).all()
    assert (counts == bootstrap_counts(points, 50, 3)).all()
    assert (counts != bootstrap_counts(points, 50, 4)).any()


def test_leave_one_out_leaves_out_each_point_in_turn() -> None:
    assert leave_one_out_counts(3).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_a_class_is_missing_if_all_won_or_all_lost() -> None:
    assert make([(1, True, 1), (2, False, 1)]).has_both_classes()
    assert not make([(1, True, 1)]).has_both_classes()
    assert not make([(1, False, 1)]).has_both_classes()
