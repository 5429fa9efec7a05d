import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.calibration.threshold import borrow, fit, parse_time, select_points, share
from pipeline.records import AssayError, Outcome, Threshold
from tests.builders.outcomes import RECIPE, outcome, outcomes

SEED = Threshold(0.05, 0.04, 0.06, "seed", True)


def threshold_of(spec: str, previous: float | None = None, wrong_run: float = 1, wrong_skip: float = 1) -> float:
    calibration = fit(
        outcomes(spec),
        previous=previous,
        label_recipe_id=RECIPE,
        cost_wrong_run=wrong_run,
        cost_wrong_skip=wrong_skip,
    )
    return calibration.threshold.value


def names(found: tuple[Outcome, ...]) -> str:
    return " ".join(o.repo.partition("/")[0] for o in found)


def test_golden_thresholds() -> None:
    cases: list[tuple[str, float]] = [
        ("win a .06, loss b .02", 0.04),
        ("win a .09, win b .06, loss c .03, hard d .01", 0.045),
        # one error in .02-.04 (the loser b above it) or in .05-.09 (the winner c below it): the second gap is wider
        ("win a .09, loss b .05, win c .04, loss d .02", 0.07),
        ("win a .09, win x .08, loss b .05, win c .04, loss d .02", 0.065),
        ("win a .06, loss b .05, win c .045, loss d .01", 0.0275),
        # inverted: every cut makes two errors, and so does a constant answer
        ("loss a .06, win b .02", 0.04),
        ("loss a .09, loss b .08, win c .03, win d .01", 0.05),
        # all at one density: no cut lies between two
        ("win a .04, loss b .04", 0.04),
        # a winner far below: still one error at the gap of the others
        ("win a .09, win b .07, win c .001, loss d .03, loss e .02", 0.05),
    ]
    wrong = [
        (spec, threshold, got, expected)
        for spec, threshold in cases
        if (got := threshold_of(spec)) != (expected := pytest.approx(threshold))
    ]
    assert wrong == []


# One error in each of the gaps .02-.04 and .06-.08, which are equally wide.
TIE = "loss a .02, win b .04, loss c .06, win d .08"


def test_of_equally_wide_gaps_the_one_nearest_the_previous_threshold_wins() -> None:
    cases: list[tuple[float | None, float]] = [
        (None, 0.03),
        (0.0, 0.03),
        (0.045, 0.03),
        (0.05, 0.03),
        (0.055, 0.07),
        (1.0, 0.07),
    ]
    wrong = [
        (previous, threshold, got, expected)
        for previous, threshold in cases
        if (got := threshold_of(TIE, previous)) != (expected := pytest.approx(threshold))
    ]
    assert wrong == []


@pytest.mark.parametrize(("wrong_run", "wrong_skip", "threshold"), [(1, 2, 0.03), (2, 1, 0.07), (1, 1, 0.03)])
def test_the_more_expensive_error_is_avoided(wrong_run: float, wrong_skip: float, threshold: float) -> None:
    assert threshold_of(TIE, None, wrong_run, wrong_skip) == pytest.approx(threshold)


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf])
def test_a_cost_that_is_not_positive_is_rejected(cost: float) -> None:
    with pytest.raises(AssayError, match="must be a positive number"):
        threshold_of(TIE, wrong_run=cost)


def test_published_outcomes_weigh_half() -> None:
    below, loser, above = "win b .03 published", "loss c .06", "win d .10, loss a .01"
    assert threshold_of(f"{below}, {loser}, {above}") == pytest.approx(0.08)  # half an error against one
    measured = below.replace(" published", "")
    assert threshold_of(f"{measured}, {loser}, {above}") == pytest.approx(0.08)  # one error each, .06-.10 is wider
    two = f"{below}, win e .03 published, win f .03 published"
    assert threshold_of(f"{two}, {loser}, {above}") == pytest.approx(0.02)  # one and a half against one


def many(wins: int, losses: int) -> list[Outcome]:
    return [outcome("win", f"w{i}", 0.08 + i / 1000) for i in range(wins)] + [
        outcome("loss", f"l{i}", 0.02 + i / 1000) for i in range(losses)
    ]


PUBLISHED = outcomes("win p .05 published, loss q .045 published")


@pytest.mark.parametrize(("wins", "losses", "published"), [(9, 20, 2), (20, 9, 2), (10, 10, 0), (11, 15, 0)])
def test_published_outcomes_drop_out_once_ten_measured_ones_of_each_class_exist(
    wins: int, losses: int, published: int
) -> None:
    standing = fit(many(wins, losses) + PUBLISHED, label_recipe_id=RECIPE).standing
    assert (standing.published, standing.measured, standing.outcomes) == (
        published,
        wins + losses,
        wins + losses + published,
    )


def test_inconclusive_and_excluded_outcomes_are_not_among_the_ten() -> None:
    ten = many(10, 10)
    ten[0] = dataclasses.replace(ten[0], outcome="INCONCLUSIVE")
    assert fit(ten + PUBLISHED, label_recipe_id=RECIPE).standing.published == 2
    ten = many(10, 10)
    ten[-1] = dataclasses.replace(ten[-1], excluded_because="a fork")
    assert fit(ten + PUBLISHED, label_recipe_id=RECIPE).standing.published == 2


def test_the_newest_conclusive_outcome_of_a_repository_counts() -> None:
    cases: list[tuple[str, str]] = [
        ("win a .06 @2026-01-02, loss a .03 @2026-01-01", ".06"),
        ("loss a .03 @2026-01-01, win a .06 @2026-01-02", ".06"),
        ("win a .06 @2026-01-01T23:00:00+00:00, loss a .03 @2026-01-02T00:30:00+02:00", ".06"),
        ("win a .06 @2026-01-01, loss a .03 published", ".06"),
        ("win a .06 published, loss a .03", ".03"),  # neither has a time: measured here counts as newer
        ("win a .06 @2026-01-01, INCONCLUSIVE a .01 @2026-02-01", ".06"),
    ]
    wrong = [
        (spec, kept, got, expected)
        for spec, kept in cases
        if (got := [o.density for o in select_points(outcomes(spec), RECIPE)]) != (expected := [float(kept)])
    ]
    assert wrong == []


def test_outcomes_of_other_label_recipes_and_model_families_are_left_out() -> None:
    found = [
        outcome("win", "a", 0.06, base_model_family="qwen"),
        outcome("win", "b", 0.05, base_model_family="llama"),
        outcome("win", "c", 0.04, provenance="published"),
        outcome("win", "d", 0.03, label_recipe_id="f" * 12),
    ]
    assert names(select_points(found, RECIPE)) == "a b c"
    assert names(select_points(found, RECIPE, "qwen")) == "a c"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "0001-01-01T00:00:00+23:00"])
def test_an_invalid_time_is_rejected(text: str) -> None:
    with pytest.raises(AssayError, match="not a time in ISO 8601"):
        parse_time(text)


@pytest.mark.parametrize("spec", ["", "win a .06, win b .01", "loss a .06", "INCONCLUSIVE a .03, win b .06"])
def test_if_a_class_is_missing_the_seed_threshold_is_used(spec: str) -> None:
    assert fit(outcomes(spec), seed_threshold=SEED, label_recipe_id=RECIPE).threshold == SEED


def test_a_fallback_threshold_stays_borrowed_or_has_the_source_seed() -> None:
    borrowed = borrow(SEED)
    assert fit([], seed_threshold=borrowed, label_recipe_id=RECIPE).threshold == borrowed
    fitted = dataclasses.replace(SEED, source="calibration")
    assert fit([], seed_threshold=fitted, label_recipe_id=RECIPE).threshold == SEED


def test_without_a_class_or_a_seed_the_error_names_the_missing_class() -> None:
    with pytest.raises(AssayError, match="has no loss; add an outcome"):
        fit(outcomes("win a .06"), label_recipe_id=RECIPE)
    with pytest.raises(AssayError, match="has no win; add an outcome"):
        fit(outcomes("loss a .06"), label_recipe_id=RECIPE)


@pytest.mark.parametrize(("band", "wider"), [((0.045, 0.055), (0.035, 0.065)), ((0.01, 0.2), (0.01, 0.2))])
def test_a_borrowed_band_is_at_least_thirty_percent_and_never_narrower(
    band: tuple[float, float], wider: tuple[float, float]
) -> None:
    borrowed = borrow(Threshold(0.05, band[0], band[1], "seed", True))
    assert (borrowed.band_low, borrowed.band_high) == pytest.approx(wider)
    assert (borrowed.value, borrowed.source) == (0.05, "borrowed")


def test_the_source_is_the_seed_until_an_outcome_measured_here_joins() -> None:
    published = outcomes("win a .06 published, loss b .02 published")
    seed = dataclasses.replace(fit(published, label_recipe_id=RECIPE).threshold, source="seed")

    def source(found: list[Outcome]) -> str:
        return fit(found, seed_threshold=seed, label_recipe_id=RECIPE).threshold.source

    assert source(published) == "seed"
    assert (
        source(published + outcomes("win c .09")) == "calibration"
    )  # the value is the same, but more stands behind it
    assert source(outcomes("win a .07 published, loss b .02 published")) == "calibration"


def test_the_band_of_two_outcomes_is_fifteen_percent() -> None:
    threshold = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE).threshold
    assert (threshold.band_low, threshold.band_high) == pytest.approx((0.034, 0.046))


def test_the_band_contains_every_leave_one_out_threshold() -> None:
    calibration = fit(outcomes("win a .20, win b .06, loss c .02, loss d .001"), label_recipe_id=RECIPE)
    # without b (.20 + .02) / 2, without c (.06 + .001) / 2, without a or d .04
    assert [left.threshold for left in calibration.left_out] == pytest.approx([0.04, 0.11, 0.0305, 0.04])
    assert calibration.threshold.band_low <= 0.0305
    assert calibration.threshold.band_high >= 0.11


def test_the_band_spans_the_tenth_to_ninetieth_percentile_of_resamples() -> None:
    # Two winners, two losers. A class draws its far member twice with chance 1/4 > 10 %, and both ends move.
    threshold = fit(outcomes("win a .10, win b .08, loss c .04, loss d .02"), label_recipe_id=RECIPE).threshold
    # thresholds .06 (9/16), .07 (b never drawn, 3/16), .05 (c never drawn, 3/16), .06 (neither, 1/16)
    assert (threshold.value, threshold.band_low, threshold.band_high) == pytest.approx((0.06, 0.05, 0.07))


def test_a_counterexample_is_listed_and_does_not_widen_the_band() -> None:
    usual = "win a .09, win b .08, win c .07, win d .065, loss e .03, loss f .028, loss g .025"
    without = fit(outcomes(usual), label_recipe_id=RECIPE)
    inverted = fit(outcomes(usual + ", win x .0001"), label_recipe_id=RECIPE)
    assert without.standing.counterexamples == ()
    assert inverted.standing.counterexamples == ("x/x",)
    assert inverted.threshold.value == without.threshold.value
    assert inverted.threshold.band_low > 0.02
    assert (without.threshold.separable, inverted.threshold.separable) == (True, False)


def test_leave_one_out_predicts_each_point_from_the_others() -> None:
    calibration = fit(outcomes("win a .06, win b .05, loss c .04, loss d .01"), label_recipe_id=RECIPE)
    # without b: (.06 + .04) / 2 = .05, and .05 reaches it; without c: (.05 + .01) / 2 = .03, which .04 exceeds
    assert [(left.repo[0], left.right) for left in calibration.left_out] == [
        ("a", True),
        ("b", True),
        ("c", False),
        ("d", True),
    ]
    assert calibration.standing.leave_one_out == 0.75


def test_leaving_out_the_only_winner_falls_back_to_the_seed_if_there_is_one() -> None:
    found = outcomes("win a .06, loss b .02, loss c .01")
    judged = fit(found, label_recipe_id=RECIPE, seed_threshold=SEED).left_out[0]
    assert (judged.threshold, judged.right) == (0.05, True)
    unjudged = fit(found, label_recipe_id=RECIPE).left_out[0]
    assert (unjudged.threshold, unjudged.right) == (None, False)


def test_standing_and_accuracy_of_a_small_set() -> None:
    calibration = fit(outcomes("win a .06, win b .01 published, loss c .03, hard d .02"), label_recipe_id=RECIPE)
    standing = calibration.standing
    assert (standing.outcomes, standing.published, standing.measured) == (4, 1, 3)
    assert standing.winners == (("a/a", 0.06), ("b/b", 0.01))
    assert standing.losers == (("c/c", 0.03), ("d/d", 0.02))
    assert standing.counterexamples == ("b/b",)
    assert calibration.accuracy is not None
    assert (calibration.accuracy.right, calibration.accuracy.of, calibration.accuracy.value) == (3, 4, 0.75)


def test_wilson_intervals_match_published_values(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, int, float, float]] = [
        (8, 10, 0.4902, 0.9433),
        (0, 5, 0.0, 0.4345),
        (5, 5, 0.5655, 1.0),
        (1, 1, 0.2065, 1.0),
        (50, 100, 0.4038, 0.5962),
    ]
    for right, of, low, high in cases:
        with subtests.test(right=right, of=of, low=low, high=high):
            found = share(right, of)
            assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("outcomes_there", "drawn"), [(29, False), (30, True)])
def test_a_win_curve_needs_thirty_outcomes(outcomes_there: int, drawn: bool) -> None:
    curve = fit(many(9, outcomes_there - 9), label_recipe_id=RECIPE).win_curve
    assert (curve is not None) is drawn
    assert curve is None or curve.probability(0.09) > 0.5 > curve.probability(0.02)


def test_a_win_curve_needs_both_classes() -> None:
    assert fit(many(40, 0), label_recipe_id=RECIPE, seed_threshold=SEED).win_curve is None


def test_the_version_identifies_threshold_band_and_points() -> None:
    one = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE)
    same = fit(outcomes("loss b .02, win a .06"), label_recipe_id=RECIPE)
    other = fit(outcomes("win a .06, loss c .02"), label_recipe_id=RECIPE)
    assert one.version == same.version != other.version
    assert len(one.version) == 12


# --- properties

densities = st.integers(1, 400).map(lambda n: n / 1000)
kinds = st.sampled_from(["WIN", "SOFT LOSS", "HARD LOSS"])
point = st.builds(
    lambda name, density, kind, provenance: outcome("win", name, density, outcome=kind, provenance=provenance),
    st.text("abcdefghij", min_size=1, max_size=3),
    densities,
    kinds,
    st.sampled_from(["measured", "published"]),
)
sets = st.lists(point, min_size=2, max_size=10, unique_by=lambda o: o.repo).filter(
    lambda found: 0 < sum(o.outcome == "WIN" for o in found) < len(found)
)
few = settings(max_examples=25, deadline=None)


@few
@given(sets)
def test_a_separable_set_is_cut_at_the_midpoint(found: list[Outcome]) -> None:
    threshold = fit(found, label_recipe_id=RECIPE).threshold
    weakest = min(o.density for o in found if o.outcome == "WIN")
    strongest = max(o.density for o in found if o.outcome != "WIN")
    assert threshold.separable == (weakest > strongest)
    if threshold.separable:
        assert threshold.value == (weakest + strongest) / 2


@few
@given(sets, st.randoms(use_true_random=False))
def test_order_and_older_outcomes_of_a_repository_do_not_matter(found: list[Outcome], random) -> None:
    newest = [dataclasses.replace(o, decided_at="2026-05-01") for o in found]
    older = [
        dataclasses.replace(
            o, decided_at="2026-04-01", density=random.random(), outcome=random.choice(["WIN", "HARD LOSS"])
        )
        for o in newest
    ]
    shuffled = newest + older
    random.shuffle(shuffled)
    assert fit(shuffled, label_recipe_id=RECIPE) == fit(newest, label_recipe_id=RECIPE)


@few
@given(sets, point, st.sampled_from(["inconclusive", "excluded", "another recipe"]))
def test_outcomes_that_do_not_count_never_move_the_threshold(found: list[Outcome], extra: Outcome, why: str) -> None:
    extra = dataclasses.replace(extra, repo="new/new", decided_at="2026-05-01")
    if why == "inconclusive":
        extra = dataclasses.replace(extra, outcome="INCONCLUSIVE")
    elif why == "excluded":
        extra = dataclasses.replace(extra, excluded_because="generated code")
    else:
        extra = dataclasses.replace(extra, label_recipe_id="f" * 12)
    assert fit([*found, extra], label_recipe_id=RECIPE) == fit(found, label_recipe_id=RECIPE)


@few
@given(sets)
def test_the_band_contains_the_threshold_with_at_least_fifteen_percent(found: list[Outcome]) -> None:
    threshold = fit(found, label_recipe_id=RECIPE).threshold
    assert threshold.band_low <= 0.85 * threshold.value * (1 + 1e-12)
    assert threshold.band_high >= 1.15 * threshold.value * (1 - 1e-12)


@few
@given(sets, st.sampled_from([0.01, 0.5, 2.0]))
def test_threshold_and_band_scale_with_the_densities(found: list[Outcome], factor: float) -> None:
    scaled = [dataclasses.replace(o, density=o.density * factor) for o in found]
    one, other = (fit(o, label_recipe_id=RECIPE).threshold for o in (found, scaled))
    for field in ("value", "band_low", "band_high"):
        assert getattr(other, field) == pytest.approx(getattr(one, field) * factor, rel=1e-9)


@few
@given(sets)
def test_refitting_from_the_current_threshold_does_not_change_it(found: list[Outcome]) -> None:
    first = fit(found, label_recipe_id=RECIPE).threshold
    assert fit(found, previous=first.value, label_recipe_id=RECIPE).threshold == first


def shared(found: list[Outcome], weight: float = 1.0) -> list[Outcome]:
    return [dataclasses.replace(o, provenance="shared", weight=weight, repo=f"shared {o.repo}") for o in found]


def test_shared_outcomes_neither_drop_published_ones_nor_drop_out_with_them() -> None:
    standing = fit([*shared(many(10, 10)), *PUBLISHED], label_recipe_id=RECIPE).standing
    assert (standing.published, standing.measured, standing.shared) == (2, 0, 20)
    standing = fit([*many(10, 10), *shared(many(3, 3)), *PUBLISHED], label_recipe_id=RECIPE).standing
    assert (standing.published, standing.measured, standing.shared) == (0, 20, 6)


def test_an_outcome_of_an_unknown_family_counts_for_every_family() -> None:
    found = [outcome("win", "a", 0.06, base_model_family="unknown"), outcome("win", "b", 0.05, base_model_family="x")]
    assert names(select_points(found, RECIPE, "qwen")) == "a"


def test_a_weight_other_than_one_is_part_of_the_version() -> None:
    plain = fit([*outcomes("win a .06, loss b .02")], label_recipe_id=RECIPE)
    half = [dataclasses.replace(o, weight=0.5) for o in outcomes("win a .06, loss b .02")]
    weighed = fit(half, label_recipe_id=RECIPE)
    assert plain.threshold == weighed.threshold
    assert plain.version != weighed.version


@pytest.mark.parametrize("name", ["a/first", "zz/last"])
def test_renaming_a_repository_changes_no_number(name: str) -> None:
    """Also where two points differ in nothing but their weight: each is drawn by its place in the bootstrap."""
    spec = (
        "win b .05, win m .05 published, loss c .09, win d .09 published, loss e .06, win f .09, win g .06 published, "
        "loss h .02, loss i .05, loss j .06"
    )
    renamed = [dataclasses.replace(o, repo=name) if o.repo == "b/b" else o for o in outcomes(spec)]
    plain, other = fit(outcomes(spec), label_recipe_id=RECIPE), fit(renamed, label_recipe_id=RECIPE)
    assert (plain.threshold, plain.accuracy, plain.standing.leave_one_out) == (
        other.threshold,
        other.accuracy,
        other.standing.leave_one_out,
    )
