"""What a shared outcome reveals, and that no contributor exceeds a fifth of the total weight."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.calibration.shared_outcome import MAX_WEIGHT_SHARE, capped_weights, figures_of, weigh_shared
from bot.store.shared_outcomes import SharedFigures, SharedRow
from pipeline.calibration.threshold import fit
from tests.builders.outcomes import RECIPE, outcome

COUNTS = st.lists(st.integers(1, 200), min_size=5, max_size=30)


def named(counts: list[int]) -> dict[str, int]:
    return {f"c{index}": count for index, count in enumerate(counts)}


def test_golden_weights(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[int], list[float]]] = [
        ([3, 3, 3, 3, 3], [3, 3, 3, 3, 3]),  # five of equal height are a fifth each
        ([10, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
        ([10, 10, 1, 1, 1], [1, 1, 1, 1, 1]),
        ([3, 2, 2, 2, 2], [2, 2, 2, 2, 2]),
        ([8, 2, 2, 2, 2, 2], [2.5, 2, 2, 2, 2, 2]),  # 2.5 of 12.5
        ([9, 7, 3, 3, 3, 3, 3], [5, 5, 3, 3, 3, 3, 3]),  # 5 of 25
        ([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]),
    ]
    for counts, totals in cases:
        with subtests.test(counts=counts, totals=totals):
            weights = capped_weights(named(counts))
            found = [weights[f"c{index}"] * count for index, count in enumerate(counts)]
            assert found == pytest.approx(totals)


@given(COUNTS)
def test_no_contributor_exceeds_a_fifth_and_the_largest_are_cut_equally(counts: list[int]) -> None:
    weights = capped_weights(named(counts))
    totals = {name: weights[name] * count for name, count in named(counts).items()}
    whole = sum(totals.values())
    assert max(totals.values()) <= MAX_WEIGHT_SHARE * whole * (1 + 1e-9)
    assert all(0 < weight <= 1 for weight in weights.values())
    cut = [totals[name] for name, weight in weights.items() if weight < 1]
    assert all(math.isclose(total, MAX_WEIGHT_SHARE * whole) for total in cut), "no more is taken than has to be"


@given(COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_contributors_is_irrelevant(counts: list[int], random: Any) -> None:
    shuffled = list(named(counts).items())
    random.shuffle(shuffled)
    assert capped_weights(dict(shuffled)) == capped_weights(named(counts))


def test_fewer_than_five_weigh_nothing() -> None:
    wrong = [
        (contributors, got) for contributors in range(5) if (got := capped_weights(named([7] * contributors))) != {}
    ]
    assert wrong == []


def row(shared_id: int, contributor: str, density: float, delta: float, *, own: bool = False) -> SharedRow:
    return SharedRow(shared_id, contributor, own, 0, SharedFigures(RECIPE, "tiny", density, delta, "2026-11"))


def pool(contributors: int) -> list[SharedRow]:
    """A win of .09 and a loss of .01 of each."""
    return [
        made
        for number in range(contributors)
        for made in (row(2 * number, f"c{number}", 0.09, 0.04), row(2 * number + 1, f"c{number}", 0.01, -0.01))
    ]


def test_shared_outcomes_need_five_contributors() -> None:
    assert weigh_shared(pool(4)) == ()
    assert len(weigh_shared(pool(5))) == 10


def test_own_rows_are_ignored() -> None:
    own = [row(90 + number, "me", 0.02, 0.05, own=True) for number in range(3)]
    assert weigh_shared([*pool(4), *own]) == ()
    assert {point.repo for point in weigh_shared([*pool(5), *own])} == {point.repo for point in weigh_shared(pool(5))}


def test_recipes_and_families_are_pooled_separately() -> None:
    other = replace(pool(1)[0], figures=SharedFigures(RECIPE, "large", 0.5, 0.5, "2026-11"), contributor="c9")
    assert weigh_shared([*pool(4), other]) == ()


def test_shared_points_are_counted_but_never_named() -> None:
    own = [outcome("win", "mine", 0.05), outcome("loss", "yours", 0.03)]
    calibration = fit([*own, *weigh_shared(pool(5))], label_recipe_id=RECIPE)
    standing = calibration.standing
    assert (standing.outcomes, standing.measured, standing.shared) == (12, 2, 10)
    assert standing.winners == (("mine/mine", 0.05),)
    assert standing.losers == (("yours/yours", 0.03),)
    assert calibration.threshold.value == pytest.approx(0.04)


def test_a_lighter_shared_point_yields() -> None:
    """One own win of .05 against one shared loss above it, of half a weight."""
    own = [outcome("win", "a", 0.05), outcome("win", "b", 0.20), outcome("loss", "c", 0.01)]
    shared = replace(outcome("loss", "x", 0.10), provenance="shared", weight=0.4)
    # .01-.05 costs .4 (the shared loss above it), .10-.20 costs 1 (the own win below it)
    assert fit([*own, shared], label_recipe_id=RECIPE).threshold.value == pytest.approx(0.03)
    heavier = [replace(shared, repo=f"x{n}/x", weight=0.4) for n in range(3)]
    assert fit([*own, *heavier], label_recipe_id=RECIPE).threshold.value == pytest.approx(0.15)


def test_only_figures_that_imply_the_outcome_are_shared(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float | None, float, tuple[float, float] | None]] = [
        ("win", 0.251234, 0.2, (0.026, 0.051)),
        ("loss", 0.2101, 0.2, (0.026, 0.010)),
        ("hard", 0.15, 0.2, (0.026, -0.05)),
        ("hard", -0.01, -0.02, (0.026, 0.01)),  # lost, and says so
        ("hard", -0.01, -0.2, None),  # gained and still no better than chance: Δρ alone would call it a win
        ("loss", 0.2296, 0.2, None),  # rounded it would be a win
        ("win", None, 0.2, None),
    ]
    for kind, rho_adapter, rho_baseline, told in cases:
        with subtests.test(kind=kind, rho_adapter=rho_adapter, rho_baseline=rho_baseline, told=told):
            measured = outcome(
                kind,
                "a",
                0.02642,
                rho_adapter=rho_adapter,
                rho_baseline=rho_baseline,
                decided_at="2026-11-22T10:00:00+00:00",
            )
            figures = figures_of(measured)
            assert (figures and (figures.density, figures.delta)) == told
            assert figures is None or figures.month == "2026-11"
