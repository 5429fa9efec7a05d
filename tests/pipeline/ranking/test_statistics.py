from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.statistics import (
    Quality,
    assess,
    ceiling,
    compare,
    precision_at,
    rank_average,
    recall_at_lines,
    why_no_rho,
)

labels_of = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.35, 0.7, 1.4]), min_size=2, max_size=60)


Numbers = list[float] | Floats


def quality(scores: Numbers, labels: Numbers, files: list[str] | None = None, **options: int) -> Quality:
    files = files or [str(i) for i in range(len(labels))]
    return assess({"it": scores}, labels, files, [10] * len(labels), **options)["it"]


def there(value: float | None) -> float:
    assert value is not None
    return value


def width(low: float | None, high: float | None) -> float:
    return there(high) - there(low)


def test_a_textbook_example_without_ties() -> None:
    """IQ against hours of television: ρ = 1 − 6 · 194 / (10 · 99) = −29/165."""
    iq = [86.0, 97, 99, 100, 101, 103, 106, 110, 112, 113]
    hours = [2.0, 20, 28, 27, 50, 29, 7, 17, 6, 12]
    got = quality(iq, hours)
    assert got.rho == pytest.approx(-29 / 165)
    assert got.rho_max == 1.0
    assert (got.n, got.positives, got.prevalence) == (10, 10, 1.0)
    assert got.auc is None  # all are positive


def test_an_example_with_ties_worked_out_by_hand() -> None:
    """Scores 1 2 3 4 and labels 0 0 0 1: ranks 2 2 2 4, covariance 3, sums of squares 5 and 3."""
    got = quality([1, 2, 3, 4], [0, 0, 0, 1])
    assert got.rho == pytest.approx(3 / math.sqrt(15))
    assert got.rho_max == pytest.approx(math.sqrt(1 - 24 / 60))
    assert got.rho_share == pytest.approx(1.0)
    assert got.auc == 1.0


def test_the_auc_counts_ties_half() -> None:
    """Positives 2 and 3 against negatives 1 and 2: 1 + ½ + 1 + 1 of four pairs."""
    assert quality([1, 2, 2, 3], [0, 0, 1, 1]).auc == pytest.approx(3.5 / 4)


def test_the_ceiling_follows_from_the_ties_of_the_labels() -> None:
    cases: list[tuple[list[float], float | None]] = [
        ([], None),
        ([1.0], None),
        ([0.0, 0.0, 0.0], 0.0),
        ([0.0, 1.0, 2.0], 1.0),
        ([0.0] * 90 + [1.0] * 10, math.sqrt(1 - (90**3 - 90 + 10**3 - 10) / (100**3 - 100))),
    ]
    wrong = [
        (labels, expected, actual, wanted)
        for labels, expected in cases
        if (actual := ceiling(np.array(labels))) != (wanted := None if expected is None else pytest.approx(expected))
    ]
    assert wrong == []


@given(labels_of, st.randoms())
def test_untied_scores_never_exceed_the_ceiling_and_the_best_reach_it(labels: list[float], random) -> None:
    if len(set(labels)) < 2:
        return
    scores = [float(i) for i in random.sample(range(len(labels)), len(labels))]
    highest = ceiling(np.array(labels))
    assert highest is not None
    assert abs(spearmanr(scores, labels).statistic) <= highest + 1e-12
    best = np.argsort(np.argsort(labels, kind="stable"))
    assert spearmanr(best, labels).statistic == pytest.approx(highest)


@given(labels_of, st.lists(st.integers(0, 5), min_size=60, max_size=60))
def test_tied_scores_exceed_the_ceiling_by_at_most_their_own(labels: list[float], ties: list[int]) -> None:
    """Equal ties on both sides reach ρ = 1, so |ρ| ≤ ρ_max holds only for scores without ties."""
    scores = np.array(ties[: len(labels)], dtype=float)
    if len(set(labels)) < 2 or len(set(scores)) < 2:
        return
    of_labels, of_scores = ceiling(np.array(labels)), ceiling(scores)
    assert of_labels is not None
    assert of_scores is not None
    assert abs(spearmanr(scores, labels).statistic) <= of_labels / of_scores + 1e-9


def test_without_a_ranking_there_is_a_reason_and_n(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list, list, str]] = [
        ([], [], "no held-out functions: nothing to rank"),
        ([1.0], [1.0], "1 held-out function: nothing to rank"),
        ([1.0, math.nan, math.inf], [1.0, 0.0, 0.0], "2 of 3 scores are not numbers"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], "none of the 3 held-out functions was fixed: nothing to find"),
        ([1.0, 2.0, 3.0], [0.7, 0.7, 0.7], "all 3 labels are equal: nothing to find"),
        ([2.0, 2.0, 2.0], [0.0, 0.7, 0.7], "all 3 scores are equal: no ranking"),
    ]
    for scores, labels, reason in cases:
        with subtests.test(scores=scores, labels=labels, reason=reason):
            got = quality(scores, labels)
            assert (got.n, got.positives) == (len(labels), sum(label > 0 for label in labels))
            assert (got.rho, got.auc, got.reason) == (None, None, reason)
            assert why_no_rho(np.array(scores), np.array(labels)) == reason


def test_a_failed_scorer_does_not_affect_the_others() -> None:
    labels = [float(i % 3 == 0) for i in range(30)]
    files, lines = [str(i // 3) for i in range(30)], [10] * 30
    fine = [float(i * 7 % 30) for i in range(30)]
    together = assess({"nan": [math.nan] * 30, "fine": fine, "flat": [1.0] * 30}, labels, files, lines)
    assert list(together) == ["nan", "fine", "flat"]
    assert [q.rho is None for q in together.values()] == [True, False, True]
    alone = assess({"fine": fine}, labels, files, lines)["fine"]
    assert (together["fine"].rho, together["fine"].rho_low) == (alone.rho, alone.rho_low)
    comparison = compare(together["fine"], together["nan"])
    assert (comparison.delta, comparison.reason) == (None, "30 of 30 scores are not numbers")


def test_in_a_single_file_there_is_a_rho_but_no_interval() -> None:
    got = quality([1, 2, 3, 4], [0, 1, 0, 1], ["a.py"] * 4)
    assert got.rho is not None
    assert (got.rho_low, got.rho_high, got.reason) == (
        None, None, "all held-out functions are in one file: no interval",
    )  # fmt: skip
    comparison = compare(got, got)
    assert (comparison.delta, comparison.win_share, comparison.reason) == (0.0, None, got.reason)


def test_with_all_fixes_in_one_file_of_many_there_is_no_interval() -> None:
    got = quality([float(i) for i in range(40)], [float(i < 4) for i in range(40)], [str(i // 4) for i in range(40)])
    assert (got.rho_low, got.reason) == (None, "the fixes are in too few files for an interval")


def test_different_lengths_and_invalid_labels_are_rejected() -> None:
    for scores, labels in (([1.0], [1.0, 0.0]), ([1.0, 2.0], [-0.1, 0.0]), ([1.0, 2.0], [math.nan, 0.0])):
        with pytest.raises(ValueError, match=r"length|not a number"):
            quality(scores, labels, ["a", "b"])


def noisy(seed: int, n: int = 600, strength: float = 1.0) -> tuple[Floats, Floats, list[str]]:
    """Scores and labels that are correlated within files."""
    random = np.random.default_rng(seed)
    files = [f"{i // 6}.py" for i in range(n)]
    luck = np.repeat(random.normal(size=n // 6), 6)
    labels = np.where(luck + random.normal(size=n) > 1.5, np.round(random.random(n) + 0.1, 1), 0)
    return strength * labels + random.normal(size=n), labels, files


def test_an_interval_contains_its_value_and_is_wider_if_files_are_correlated() -> None:
    random = np.random.default_rng(2)
    luck = np.repeat(random.normal(size=100), 6)
    scores = luck + 0.1 * random.normal(size=600)
    labels = (np.repeat(random.random(100) < 0.3, 6) & (luck > -1.0)).astype(np.float64)
    files = [f"{i // 6}.py" for i in range(600)]
    clustered = quality(scores, labels, files)
    alone = quality(scores, labels)
    for got in (clustered, alone):
        assert there(got.rho_low) < there(got.rho) < there(got.rho_high)
        assert there(got.auc_low) < there(got.auc) < there(got.auc_high)
    assert width(clustered.rho_low, clustered.rho_high) > 1.5 * width(alone.rho_low, alone.rho_high)


def test_intervals_are_determined_by_the_seed() -> None:
    scores, labels, files = noisy(1)
    one, again, other = (quality(scores, labels, files, seed=seed) for seed in (1, 1, 2))
    assert (one.rho_low, one.rho_high) == (again.rho_low, again.rho_high)
    assert (one.rho_low, one.rho_high) != (other.rho_low, other.rho_high)


def test_a_scorer_compared_with_itself_has_no_difference() -> None:
    scores, labels, files = noisy(1)
    got = assess({"a": scores, "b": 2 * scores + 1}, labels, files, [10] * len(labels))
    comparison = compare(got["a"], got["b"])
    assert (comparison.delta, comparison.low, comparison.high) == pytest.approx((0, 0, 0))
    assert comparison.win_share == 0.0
    assert comparison.smallest_detectable == pytest.approx(0)


def test_a_paired_interval_is_far_narrower_than_separate_ones() -> None:
    scores, labels, files = noisy(1)
    nearly = scores + 0.05 * np.random.default_rng(9).normal(size=len(scores))
    got = assess({"a": scores, "b": nearly}, labels, files, [10] * len(labels))
    comparison = compare(got["a"], got["b"])
    assert width(comparison.low, comparison.high) < 0.2 * width(got["a"].rho_low, got["a"].rho_high)


def test_a_far_better_scorer_wins_in_every_resample() -> None:
    scores, labels, files = noisy(1, strength=4)
    worse, _, _ = noisy(2, strength=0)
    got = assess({"a": scores, "b": worse}, labels, files, [10] * len(labels))
    assert compare(got["a"], got["b"]).win_share == 1.0
    assert compare(got["b"], got["a"]).win_share == 0.0
    assert there(compare(got["a"], got["b"]).delta) == -there(compare(got["b"], got["a"]).delta)


def test_the_smallest_detectable_difference_shrinks_with_the_square_root_of_n() -> None:
    sizes = {}
    for n in (600, 5_400):
        scores, labels, files = noisy(1, n=n)
        other = scores + np.random.default_rng(9).normal(size=n)
        got = assess({"a": scores, "b": other}, labels, files, [10] * n, resamples=400)
        sizes[n] = there(compare(got["a"], got["b"]).smallest_detectable)
    assert sizes[600] / sizes[5_400] == pytest.approx(3, rel=0.35)


def test_an_interval_has_its_nominal_coverage() -> None:
    hits = 0
    scores, labels, _ = noisy(77, n=120_000)
    truth = spearmanr(scores, labels).statistic
    for seed in range(60):
        scores, labels, files = noisy(seed)
        got = quality(scores, labels, files, resamples=300)
        hits += there(got.rho_low) <= truth <= there(got.rho_high)
    assert hits >= 51  # 95 % of 60 is 57; below 51 has a chance of about 1 in 1,000


def test_precision_recall_and_auc_describe_the_same_ranking() -> None:
    n = 100
    scores = [float(n - i) for i in range(n)]
    labels = [0.7 if i in (0, 3, 15, 60) else 0.0 for i in range(n)]
    got = assess({"it": scores}, labels, [str(i) for i in range(n)], [5] * n)["it"]
    assert (got.precision_at_10, got.precision_at_20, got.recall_at_20_percent) == pytest.approx((0.2, 0.15, 0.75))
    assert got.auc == pytest.approx((96 + 94 + 83 + 39) / (4 * 96))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1.0, 2.0, 3.0]], [1 / 3, 2 / 3, 1.0]),
        ([[1.0, 2.0, 3.0], [30.0, 20.0, 10.0]], [2 / 3, 2 / 3, 2 / 3]),
        ([[5.0, 5.0, 9.0]], [0.5, 0.5, 1.0]),
    ],
)
def test_the_rank_average_ignores_scales(scores: list[list[float]], expected: list[float]) -> None:
    assert rank_average(scores).tolist() == pytest.approx(expected)


def test_the_rank_average_propagates_nan() -> None:
    blended = rank_average([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0]])
    assert why_no_rho(blended, np.array([0.0, 1.0, 0.0])).endswith("scores are not numbers")


# -- precision and recall

rows = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(3, 9)), min_size=1, max_size=6)


def columns(table: list[tuple[int, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, positive, lines = zip(*table, strict=True)
    return np.array(scores, dtype=float), np.array(positive), np.array(lines, dtype=float)


def test_precision_is_the_share_of_positives_at_the_top() -> None:
    scores, positive = np.arange(12.0), np.array([False] * 6 + [True] * 4 + [False] * 2)
    assert precision_at(10, scores, positive) == 0.4
    assert precision_at(2, scores, positive) == 0.0
    assert precision_at(4, scores, positive) == 0.5


def test_with_too_few_functions_there_is_no_precision() -> None:
    assert precision_at(3, np.arange(2.0), np.array([True, True])) is None


def test_if_all_scores_are_equal_precision_is_the_prevalence() -> None:
    assert precision_at(10, np.ones(40), np.arange(40) < 8) == pytest.approx(0.2)


@given(rows, st.integers(1, 6))
def test_precision_averages_over_tie_orders(table: list, count: int) -> None:
    scores, positive, _ = columns(table)
    if count > len(table):
        assert precision_at(count, scores, positive) is None
        return
    orders = [o for o in itertools.permutations(range(len(table))) if (np.diff(scores[list(o)]) <= 0).all()]
    expected = np.mean([positive[list(order[:count])].mean() for order in orders])
    assert precision_at(count, scores, positive) == pytest.approx(expected)


def test_recall_is_the_share_of_positives_found_in_a_share_of_the_lines(subtests: pytest.Subtests) -> None:
    """10, 10, 70 and 10 lines, best first; the first and third are positive."""
    cases: list[tuple[float, float]] = [
        (0.0, 0.0),
        (0.1, 0.5),
        (0.2, 1.0 * 0.5),
        (0.55, 0.5 + 0.25),
        (0.9, 1.0),
        (1.0, 1.0),
    ]
    for share, expected in cases:
        with subtests.test(share=share, expected=expected):
            scores, lines = np.array([4.0, 3.0, 2.0, 1.0]), np.array([10.0, 10.0, 70.0, 10.0])
            positive = np.array([True, False, True, False])
            assert recall_at_lines(share, scores, positive, lines) == pytest.approx(expected)


def test_without_positives_there_is_no_recall() -> None:
    assert recall_at_lines(0.2, np.arange(3.0), np.zeros(3, dtype=bool), np.ones(3)) is None


@given(rows, st.floats(0, 1), st.floats(0, 1))
def test_reading_more_lines_never_finds_less(table: list, one: float, other: float) -> None:
    scores, positive, lines = columns(table)
    if positive.any():
        less, more = (recall_at_lines(share, scores, positive, lines) for share in sorted((one, other)))
        assert less is not None
        assert more is not None
        assert 0 <= less <= more + 1e-12
        assert more <= 1 + 1e-12


@given(rows, st.randoms())
def test_precision_and_recall_do_not_depend_on_the_order_of_the_functions(table: list, random) -> None:
    shuffled = random.sample(table, len(table))
    assert recall_at_lines(0.2, *columns(table)) == pytest.approx(recall_at_lines(0.2, *columns(shuffled)))
    assert precision_at(2, *columns(table)[:2]) == pytest.approx(precision_at(2, *columns(shuffled)[:2]))
