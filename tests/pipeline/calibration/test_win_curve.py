import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.win_curve import WinCurve, fit_win_curve

DENSITIES = np.array([0.01 * (i + 1) for i in range(12)])
WEIGHTS = np.array([0.5, 1, 1, 0.5, 1, 1, 1, 0.5, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("won", "intercept", "slope"),
    [
        ([0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1], 2.04279219, 0.68015569),
        ([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], 4.09217286, 1.40556554),  # separable: without a penalty it diverges
    ],
)
def test_the_curve_matches_scikit_learn(won: list[int], intercept: float, slope: float) -> None:
    # LogisticRegression(tol=1e-12).fit(np.log(DENSITIES)[:, None], won, sample_weight=WEIGHTS) of scikit-learn
    curve = fit_win_curve(DENSITIES, np.array(won, bool), WEIGHTS)
    assert (curve.intercept, curve.slope) == pytest.approx((intercept, slope), abs=1e-6)


@given(
    st.lists(st.tuples(st.floats(1e-6, 1), st.booleans(), st.sampled_from([0.5, 1.0])), min_size=4, max_size=40).filter(
        lambda points: len({won for _, won, _ in points}) == 2
    )
)
def test_the_gradient_of_the_penalised_likelihood_is_zero_at_the_solution(points: list) -> None:
    densities, won, weights = (np.array(column) for column in zip(*points, strict=True))
    curve = fit_win_curve(densities, won, weights)
    residual = weights * (np.array([curve.probability(d) for d in densities]) - won)
    assert residual.sum() == pytest.approx(0, abs=1e-6)
    assert (residual * np.log(densities)).sum() + curve.slope == pytest.approx(0, abs=1e-5)


def test_a_density_of_zero_is_read_as_half_the_smallest_positive_one() -> None:
    won = np.array([False, False, True, True])
    with_zero = fit_win_curve(np.array([0.0, 0.02, 0.04, 0.05]), won, np.ones(4))
    with_half = fit_win_curve(np.array([0.01, 0.02, 0.04, 0.05]), won, np.ones(4))
    assert (with_zero.intercept, with_zero.slope) == (with_half.intercept, with_half.slope)
    assert with_zero.probability(0.0) == with_zero.probability(0.01)


def test_probabilities_stay_within_bounds_at_the_extremes() -> None:
    steep = WinCurve(0.0, 500.0, 1e-9)
    assert (steep.probability(1e-9), steep.probability(1.0)) == (0.0, 0.5)
    assert WinCurve(900.0, 1.0, 1e-9).probability(1.0) == 1.0


@pytest.mark.parametrize(("densities", "won"), [([0.1, 0.2], [1, 1]), ([0.1, 0.2], [0, 0]), ([0.0, 0.0], [0, 1])])
def test_a_curve_needs_both_classes_and_a_positive_density(densities: list, won: list) -> None:
    with pytest.raises(ValueError, match="winners, losers and a positive density"):
        fit_win_curve(np.array(densities), np.array(won, bool), np.ones(2))
