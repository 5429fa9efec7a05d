import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.ledger_entries import (
    Adopted,
    Entry,
    Excluded,
    Included,
    Moved,
    Prediction,
    Recorded,
    dump_entry,
    equal_except_time,
    load_entry,
    parse_entry,
    predict,
    render_entry,
)
from pipeline.calibration.threshold import fit
from pipeline.json_fields import Fields, MalformedError
from pipeline.records import Threshold
from tests.builders.outcomes import RECIPE, outcome, outcomes
from tests.builders.predictions import AT, prediction
from tests.builders.screenings import screening

EVERY_KIND: list[Entry] = [
    prediction(),
    prediction(density=None, verdict="SKIP", measurable=False),
    Recorded(AT, tuple(outcomes("win a .06 published, loss b .02 @2026-01-02, INCONCLUSIVE c .03"))),
    Recorded(AT, (outcome("win", "a", 0.06, weight=0.25),)),
    Recorded(AT, (outcome("win", "a", 0.06, density_low=0.05, density_high=0.07, pairs=900, rho_adapter=-0.1),)),
    Excluded(AT, "a/a", "its history was rewritten"),
    Included(AT, "a/a"),
    Adopted(AT, RECIPE, tuple(outcomes("win a .06 published")), Threshold(0.04, 0.03, 0.05, "seed", True)),
    Adopted(AT, RECIPE, (), None),
    Moved(AT, RECIPE, 0.04, "c0ffeec0ffee"),
]


def test_an_entry_survives_a_round_trip_through_its_line(subtests: pytest.Subtests) -> None:
    for entry in EVERY_KIND:
        with subtests.test(entry=entry):
            line = render_entry(entry)
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            assert parse_entry(line, "line 1") == entry


def test_an_entry_survives_a_round_trip_through_json() -> None:
    wrong = [
        (got, entry)
        for entry in EVERY_KIND
        if (got := load_entry(Fields(json.loads(json.dumps(dump_entry(entry))), "row 1"))) != entry
    ]
    assert wrong == []


def test_outcomes_of_earlier_releases_have_weight_one_and_shared_ones_are_rejected() -> None:
    values = json.loads(render_entry(Recorded(AT, (outcome("win", "a", 0.06),))))
    del values["outcomes"][0]["weight"]
    assert load_entry(Fields(values, "row 1")) == Recorded(AT, (outcome("win", "a", 0.06),))
    values["outcomes"][0]["provenance"] = "shared"
    with pytest.raises(MalformedError, match="provenance"):
        load_entry(Fields(values, "row 1"))


def test_no_prefix_of_a_line_is_a_valid_line(subtests: pytest.Subtests) -> None:
    for entry in EVERY_KIND:
        with subtests.test(entry=entry):
            line = render_entry(entry).rstrip(b"\n")
            for length in range(len(line)):
                with pytest.raises(MalformedError):
                    parse_entry(line[:length], "line 1")


@given(
    repo=st.text(min_size=1, max_size=40).filter(str.isprintable),
    density=st.none() | st.floats(0, 1),
    threshold=st.floats(0, 1),
)
def test_names_and_numbers_survive_a_round_trip_to_the_last_digit(
    repo: str, density: float | None, threshold: float
) -> None:
    entry = prediction(repo, density, threshold=threshold)
    assert parse_entry(render_entry(entry), "line 1") == entry


def test_an_error_names_the_bad_field(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict, str]] = [
        ({"kind": "verdict"}, "line 7.kind: unknown kind 'verdict': was it written by a newer version of Assay?"),
        ({"at": "noon"}, "line 7.at: not a time in ISO 8601"),
        ({"repo": ""}, "line 7.repo: is empty"),
        ({"repo": "a\n"}, "line 7.repo: expected printable text"),
        ({"density": 1.5}, "line 7.density: expected a number from 0 to 1"),
        ({"verdict": "MAYBE"}, "line 7.verdict: expected one of RUN, SKIP"),
        ({"label_recipe_id": "xyz"}, "line 7.label_recipe_id: expected 12 hexadecimal digits"),
        ({"measurable": 1}, "line 7.measurable: expected true or false"),
    ]
    for changes, complaint in cases:
        with subtests.test(changes=changes, complaint=complaint):
            fields = json.loads(render_entry(prediction())) | changes
            with pytest.raises(MalformedError) as refusal:
                parse_entry(json.dumps(fields).encode(), "line 7")
            assert complaint in str(refusal.value)


def test_a_prediction_has_the_values_of_the_screening() -> None:
    calibration = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE)
    shown = screening()
    found = predict(shown, calibration, AT)
    assert shown.density is not None
    assert (found.repo, found.density, found.verdict) == (shown.mined.repo, shown.density.value, shown.verdict.verdict)
    assert (found.threshold, found.threshold_version) == (shown.threshold.value, calibration.version)
    assert (found.head_sha, found.at) == (shown.mined.head_sha, AT)


def test_a_screening_without_a_density_can_be_recorded() -> None:
    calibration = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE)
    found = predict(screening(density=None), calibration, AT)
    assert (found.density, found.density_low, found.density_high) == (None, None, None)


def test_predictions_are_equal_if_only_the_time_differs() -> None:
    cases: list[tuple[Entry, bool]] = [
        (prediction(at="2027-01-01"), True),
        (prediction(), True),
        (prediction(density=0.051), False),
        (prediction(head_sha="0" * 40), False),
        (Included(AT, "a/a"), False),
    ]
    wrong = [(other, got, same) for other, same in cases if (got := equal_except_time(prediction(), other)) is not same]
    assert wrong == []


def test_predictions_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction().verdict = "SKIP"  # type: ignore[misc]
    assert isinstance(prediction(), Prediction)
