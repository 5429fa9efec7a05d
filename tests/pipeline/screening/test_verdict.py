import dataclasses

import pytest

from pipeline.calibration.threshold import Calibration, borrow, fit
from pipeline.records import Density, Threshold, Verdict, Windows
from pipeline.screening.verdict import judge
from tests.builders.outcomes import RECIPE, outcomes
from tests.builders.screenings import windows

# threshold .04, band .034 to .046
CALIBRATION = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE)
SHORT = windows(shortened=True, window_days=400.0, horizon_days=200.0, history_days=900.0)


def density(value: float, half_width: float = 0.001) -> Density:
    return Density(value, value - half_width, value + half_width, 1_000, 200, 0.2, 0.5, 2.0, "relative")


def verdict_of(
    value: float | None,
    half_width: float = 0.001,
    *,
    when: Windows | None = None,
    held_out: int = 500,
    positives: int = 50,
    calibration: Calibration = CALIBRATION,
    obstacle: str = "",
) -> Verdict:
    measured = None if value is None else density(value, half_width)
    return judge(measured, when or windows(), held_out, positives, calibration, obstacle)


def test_density_threshold_and_band_decide_the_verdict(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, str, bool, str]] = [
        (0.0461, "RUN", False, "worth trying (RUN)"),
        (0.0460, "RUN", True, "too close to call, leaning RUN"),
        (0.0400, "RUN", True, "too close to call, leaning RUN"),
        (0.0399, "SKIP", True, "too close to call, leaning SKIP"),
        (0.0340, "SKIP", True, "too close to call, leaning SKIP"),
        (0.0339, "SKIP", False, "not worth it (SKIP): use the ranking"),
        (0.0, "SKIP", False, "not worth it (SKIP): use the ranking"),
    ]
    for value, verdict, near, words in cases:
        with subtests.test(value=value, verdict=verdict, near=near, words=words):
            found = verdict_of(value)
            assert (found.verdict, found.near_boundary, found.words, found.measurable) == (verdict, near, words, True)


@pytest.mark.parametrize(
    ("value", "half_width", "near"), [(0.08, 0.04, True), (0.08, 0.039, False), (0.02, 0.02, True)]
)
def test_an_interval_that_contains_the_threshold_is_near_the_boundary(
    value: float, half_width: float, near: bool
) -> None:
    found = verdict_of(value, half_width)
    assert found.near_boundary is near
    assert ("The density's 95 % interval contains the threshold." in found.reasons) is near


def test_shortened_windows_force_near_boundary_and_are_stated() -> None:
    found = verdict_of(0.2, when=SHORT)
    assert (found.verdict, found.words) == ("RUN", "too close to call, leaning RUN")
    assert (
        "The windows of 400 + 200 days, from a history of 900 days, are shorter than the default of 730 + 365 days."
        in found.reasons
    )


@pytest.mark.parametrize(
    ("held_out", "positives", "measurable"), [(200, 20, True), (199, 20, False), (200, 19, False), (0, 0, False)]
)
def test_a_run_that_could_not_be_judged_is_a_skip(held_out: int, positives: int, measurable: bool) -> None:
    found = verdict_of(0.2, held_out=held_out, positives=positives)
    assert found.measurable is measurable
    assert found.verdict == ("RUN" if measurable else "SKIP")
    assert found.words == ("worth trying (RUN)" if measurable else "a run could not be judged (SKIP)")


def test_an_unmeasurable_repository_gets_that_reason_first_and_no_comparison() -> None:
    found = verdict_of(0.2, held_out=48, positives=9)
    assert found.reasons[:3] == (
        "A run could not be judged: it would hold out about 48 functions, and at least 200 are needed.",
        "A run could not be judged: about 9 of the held-out functions would have a fix, and at least 20 are needed.",
        "The mean defect signal density is 0.2000 (0.1990 to 0.2010); the threshold is 0.0400.",
    )
    assert not any("reaches" in reason for reason in found.reasons)


def test_too_little_history_is_a_skip_with_that_reason() -> None:
    found = verdict_of(None, when=windows(too_little_history=True, shortened=True, history_days=100.4))
    assert (found.verdict, found.measurable, found.words) == ("SKIP", False, "cannot be measured (SKIP)")
    assert found.reasons[0] == "There is too little history: 100 days leave no room for a training window of 180 days."


def test_a_density_that_reaches_the_threshold_is_never_called_unmeasurable() -> None:
    for value in (0.04, 0.2, 0.9):
        assert verdict_of(value, held_out=10).words == "a run could not be judged (SKIP)"
        assert verdict_of(value, when=windows(too_little_history=True)).words == "a run could not be judged (SKIP)"
    assert verdict_of(0.01, held_out=10).words == "cannot be measured (SKIP)"


@pytest.mark.parametrize("density", [None, 0.2])
def test_what_keeps_the_code_from_being_read_is_the_only_obstacle_named(density: float | None) -> None:
    found = verdict_of(density, held_out=0, positives=0, obstacle="This is a partial clone.")
    assert (found.verdict, found.measurable, found.reasons[0]) == ("SKIP", False, "This is a partial clone.")
    assert not any("too little" in reason or "could not be judged" in reason for reason in found.reasons)


def test_without_pairs_the_density_cannot_be_measured() -> None:
    found = verdict_of(None)
    assert (found.verdict, found.measurable, found.near_boundary) == ("SKIP", False, False)
    assert found.reasons[0].startswith("There is too little code: no function")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.05, "density of 0.0500 (0.0490 to 0.0510) reaches the threshold of 0.0400."),
        (0.03, "density of 0.0300 (0.0290 to 0.0310) is below the threshold of 0.0400."),
        (0.0001234, "density of 0.000123 ("),
    ],
)
def test_the_reasons_compare_density_and_threshold(value: float, words: str) -> None:
    assert any(words in reason for reason in verdict_of(value).reasons)


def test_a_close_run_promises_only_a_modest_result() -> None:
    modest = "Expect a modest result from a run."
    assert [modest in verdict_of(value).reasons for value in (0.2, 0.042, 0.038, 0.01)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "win a .045 published, loss b .02, loss c .01",
            "The threshold rests on 3 outcomes (1 published, 2 measured here); leave-one-out gets 67 % of them right.",
        ),
        (
            "win a .06",
            "The calibration set has only 1 outcome (0 published, 1 measured here): fitting a threshold takes at least "
            "one win and one loss.",
        ),
        ("", "The calibration set has no outcomes: fitting a threshold takes at least one win and one loss."),
    ],
)
def test_every_verdict_states_what_the_threshold_rests_on(spec: str, words: str) -> None:
    seed = Threshold(0.05, 0.04, 0.06, "seed", True)
    calibration = fit(outcomes(spec), label_recipe_id=RECIPE, seed_threshold=seed)
    for value in (0.2, 0.01, None):
        assert verdict_of(value, calibration=calibration).reasons[-1] == words


@pytest.mark.parametrize(
    ("source", "word"),
    [("seed", "shipped with Assay"), ("borrowed", "borrowed from the recipe of commit")],
)
def test_a_threshold_from_elsewhere_is_stated(source: str, word: str) -> None:
    threshold = dataclasses.replace(CALIBRATION.threshold, source=source)
    calibration = dataclasses.replace(CALIBRATION, threshold=threshold)
    assert any(word in reason for reason in verdict_of(0.2, calibration=calibration).reasons)
    assert not any(word in reason for reason in verdict_of(0.2).reasons)


def test_a_borrowed_band_is_wider() -> None:
    borrowed = dataclasses.replace(CALIBRATION, threshold=borrow(CALIBRATION.threshold))
    assert (verdict_of(0.05).near_boundary, verdict_of(0.05, calibration=borrowed).near_boundary) == (False, True)


def test_every_reason_is_one_sentence(subtests: pytest.Subtests) -> None:
    for value in (None, 0.2, 0.042, 0.038, 0.01):
        for when in (windows(), SHORT, windows(too_little_history=True, shortened=True)):
            for held_out in (10, 500):
                with subtests.test(value=value, when=when, held_out=held_out):
                    for reason in verdict_of(value, when=when, held_out=held_out).reasons:
                        assert reason[0].isupper()
                        assert reason.endswith(".")
                        assert ". " not in reason


def test_shared_outcomes_are_counted_behind_the_threshold() -> None:
    shared = [dataclasses.replace(o, provenance="shared") for o in outcomes("win a .06, loss b .02")]
    alone = fit(shared, label_recipe_id=RECIPE)
    assert verdict_of(0.05, calibration=alone).reasons[-1] == (
        "The threshold rests on 2 outcomes (0 published, 0 measured here, 2 shared by others on this server); "
        "leave-one-out gets 0 % of them right."
    )
    assert "shared" not in verdict_of(0.05).reasons[-1]
