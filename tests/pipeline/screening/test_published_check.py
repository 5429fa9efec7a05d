import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.seed_records import CURVES, Seed, SeedMeasurement
from pipeline.screening.published_check import Checked, check, check_curves, lag_days, likely_causes, separate, spearman
from tests.builders.screenings import windows
from tests.builders.seeds import PUBLISHED_AS_OF, day, measurement, seed, unmeasurable


def checked(made: Seed) -> dict[str, Checked]:
    return {c.record.published.name: c for c in check(made, made.calibrate())}


def causes(made: Seed, name: str) -> str:
    everyone = checked(made)
    return "; ".join(likely_causes(everyone[name], tuple(everyone.values()), PUBLISHED_AS_OF))


def of_size(density: float, pairs: int) -> SeedMeasurement:
    return measurement(density, pairs)


def until(days_before: float) -> dict:
    return {"windows": windows(as_of=day(days_before))}


def test_every_record_is_judged_by_the_threshold_and_fitted_ones_by_leave_one_out() -> None:
    found = checked(seed())
    assert [(name, c.verdict.verdict, c.agrees) for name, c in found.items()] == [
        ("win/one", "RUN", True),
        ("win/two", "RUN", True),
        ("loss/one", "SKIP", True),
        ("loss/two", "SKIP", True),
        ("extra/win", "RUN", True),
        ("extra/loss", "RUN", False),
    ]
    # without win/two (.10 + .03) / 2, without loss/one (.06 + .02) / 2
    assert [c.left_out_threshold for c in found.values()] == [
        pytest.approx(0.045),
        pytest.approx(0.065),
        pytest.approx(0.04),
        pytest.approx(0.045),
        None,
        None,
    ]
    assert [c.left_out_verdict for c in found.values()] == ["RUN", "SKIP", "SKIP", "SKIP", None, None]


def test_an_unmeasurable_repository_is_a_skip_and_agrees_only_with_a_loss() -> None:
    found = checked(seed(extra_win=unmeasurable(0.08), extra_loss=unmeasurable(0.07)))
    assert [(found[n].verdict.words, found[n].agrees) for n in ("extra/win", "extra/loss")] == [
        ("a run could not be judged (SKIP)", False),
        ("a run could not be judged (SKIP)", True),
    ]


@pytest.mark.parametrize(("before", "lag"), [(0, 0.0), (400, 400.0), (-30, 0.0)])
def test_the_lag_is_the_time_from_the_end_of_the_history_to_the_publication(before: float, lag: float) -> None:
    assert lag_days(measurement(**until(before)), PUBLISHED_AS_OF) == pytest.approx(lag)


def test_separation_is_the_weakest_winner_over_the_strongest_loser(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list, str, str, float, int]] = [
        ([("a", True, 0.06), ("b", False, 0.03)], "a", "b", 2.0, 0),
        ([("a", True, 0.03), ("b", False, 0.06)], "a", "b", 0.5, 1),
        ([("a", True, 0.09), ("b", True, 0.02), ("c", False, 0.04), ("d", False, 0.01)], "b", "c", 0.5, 1),
        ([("a", True, 0.09), ("b", False, 0.0)], "a", "b", math.inf, 0),
        ([("a", True, 0.0), ("b", False, 0.0)], "a", "b", 1.0, 1),
    ]
    for points, weakest, strongest, ratio, errors in cases:
        with subtests.test(points=points, weakest=weakest, strongest=strongest, ratio=ratio, errors=errors):
            found = separate(points)
            assert found is not None
            assert (found.weakest_winner, found.strongest_loser, found.errors) == (weakest, strongest, errors)
            assert found.ratio == pytest.approx(ratio)
            assert found.separable == (ratio > 1)


def test_a_single_class_has_no_separation() -> None:
    assert separate([]) is None
    assert separate([("a", True, 0.1)]) is None


def test_spearman_gives_ties_their_average_rank() -> None:
    cases: list[tuple[list, list, float | None]] = [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [30, 20, 10], -1.0),
        # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5, variances 4.5 and 5
        ([1, 2, 2, 3], [1, 3, 2, 4], 4.5 / math.sqrt(4.5 * 5)),
        ([1, 1], [1, 2], None),
        ([1], [2], None),
    ]
    wrong = [
        (x, y, rho, got, expected)
        for x, y, rho in cases
        if (got := spearman(x, y)) != (expected := None if rho is None else pytest.approx(rho))
    ]
    assert wrong == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_spearman_depends_only_on_ranks(pairs: list) -> None:
    x, y = [a for a, _ in pairs], [b for _, b in pairs]
    found = spearman(x, y)
    assert found == (None if found is None else pytest.approx(spearman([a**3 for a in x], [math.exp(b) for b in y])))


def test_every_curve_is_checked_on_each_set_and_at_matched_size() -> None:
    found = {c.curve: c for c in check_curves(seed())}
    assert tuple(found) == CURVES
    relative = found["relative"]
    table, every = relative.whole["table"], relative.whole["all"]
    assert table is not None
    assert every is not None
    assert (table.weakest_winner, table.strongest_loser) == ("win/two", "loss/one")
    assert (every.weakest_winner, every.strongest_loser) == ("win/two", "extra/loss")
    assert (table.errors, every.errors) == (0, 1)
    assert [s.ratio for s in relative.sampled["table"]] == [pytest.approx(2.0)] * 10
    assert len(relative.sampled["all"]) == 10


def test_the_rest_excludes_counter_examples() -> None:
    made = seed(win_one=measurement(0.001, 900))
    assert made.calibrate().standing.counterexamples == ("win/one",)
    relative = check_curves(made)[0]
    table, rest = relative.whole["table"], relative.whole["rest"]
    assert table is not None
    assert rest is not None
    assert (table.weakest_winner, rest.weakest_winner) == ("win/one", "win/two")


def test_unmeasurable_histories_count_only_for_the_size_correlation() -> None:
    small = dataclasses.replace(unmeasurable(0.07), density=measurement(0.07, 90).density)
    relative = check_curves(seed(extra_loss=small))[0]
    every = relative.whole["all"]
    assert every is not None
    assert every.strongest_loser == "loss/one"
    assert relative.size_correlation is not None


def test_the_size_correlation_is_between_density_and_pairs() -> None:
    sizes = {"win_one": 100, "extra_win": 200, "extra_loss": 300, "win_two": 400, "loss_one": 500, "loss_two": 600}
    densities = [0.10, 0.08, 0.07, 0.06, 0.03, 0.02]
    made = seed(**{n: of_size(d, s) for (n, s), d in zip(sizes.items(), densities, strict=True)})
    assert check_curves(made)[0].size_correlation == pytest.approx(-1.0)


ISSUES = "its commits name issues rather than fixes: only 2.0 % of the commits in its training window"


def test_a_likely_cause_is_a_measured_property(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, SeedMeasurement, str]] = [
        ("win/two", measurement(0.001, fix_commits=20), ISSUES),
        ("win/two", measurement(0.001, 9_000), "it is large (9,000 pairs, median 2,000)"),
        ("win/two", measurement(0.001, **until(1_461)), "the mined history ends 4.0 years before the published one"),
        ("extra/win", measurement(0.044), "it is near the boundary"),
        ("extra/win", unmeasurable(0.08), "a run cannot be judged: 48 held-out functions; 200 are needed"),
        (
            "extra/win",
            measurement(0.08, held_out_positives=7),
            "a run cannot be judged: 7 of the held-out functions have a fix; 20 are needed",
        ),
        (
            "extra/loss",
            measurement(0.2, fix_commits=600),
            "60.0 % of the commits in its training window carry fix evidence",
        ),
        ("extra/loss", measurement(0.2, 500), "it is small (500 pairs, median 2,000)"),
        ("extra/loss", measurement(0.2), "no measured property sets it apart"),
    ]
    for name, measured, named in cases:
        with subtests.test(name=name, measured=measured, named=named):
            made = seed(**{name.replace("/", "_"): measured})
            assert not checked(made)[name].agrees
            assert named in causes(made, name)


def test_causes_that_do_not_apply_are_not_named() -> None:
    cases: list[str] = ["issues", "large", "small", "ends", "boundary", "judged", "messages mention"]
    wrong = [(word, got) for word in cases if word in (got := causes(seed(extra_loss=measurement(0.2)), "extra/loss"))]
    assert wrong == []


def test_without_peers_there_is_no_cause() -> None:
    alone = checked(seed())["extra/loss"]
    assert likely_causes(alone, (alone,), PUBLISHED_AS_OF)[0].startswith("no measured property")
