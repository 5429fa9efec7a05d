import dataclasses
import json

import pytest

from pipeline.calibration.calibration_set import replay
from pipeline.calibration.import_export import parse_exchange, plan_import, render_exchange
from pipeline.calibration.ledger_entries import Entry, Excluded, Recorded
from pipeline.json_fields import MalformedError
from pipeline.records import Outcome
from tests.builders.outcomes import outcome, outcomes
from tests.builders.predictions import AT
from tests.builders.seeds import seed

SEED = seed()


def through_a_file(outcomes_: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    return parse_exchange(render_exchange(outcomes_).encode(), "set.json")


def test_a_set_survives_export_and_import() -> None:
    found = (
        *outcomes("win a .06 published, loss b .02 @2026-01-02, INCONCLUSIVE c .03"),
        outcome("hard", "ü", 1 / 3, excluded_because="a fork", pairs=7, rho_adapter=-0.14, density_low=0.1),
    )
    assert through_a_file(found) == found


def test_a_whole_calibration_moves_to_another_installation() -> None:
    entries: list[Entry] = [
        Recorded(AT, tuple(outcomes("loss a .05 @2026-01-02, win b .2"))),
        Excluded(AT, "win/two", "doubtful"),
    ]
    here, there = replay(entries, SEED), replay([], SEED)
    plan = plan_import(through_a_file(here.outcomes), there)
    assert plan.known == 4  # the seed outcomes are there already
    moved = replay(plan.entries(AT), SEED)
    assert moved.outcomes == here.outcomes
    assert moved.calibrate() == here.calibrate()
    again = plan_import(through_a_file(here.outcomes), moved)
    assert (again.entries(AT), again.known) == ((), 6)


def test_an_import_lifts_no_exclusion() -> None:
    here = replay([Excluded(AT, "win/two", "doubtful")], SEED)
    plan = plan_import(SEED.outcomes(), here)
    assert plan.entries(AT) == ()


def test_outcomes_of_another_recipe_are_imported_but_do_not_count() -> None:
    other = outcome("loss", "a", 0.05, label_recipe_id="f" * 12)
    plan = plan_import([other], replay([], SEED))
    assert plan.outcomes == (other,)
    assert replay(plan.entries(AT), SEED).calibrate() == replay([], SEED).calibrate()


def test_other_files_are_rejected(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("{}", "set.json.format: is missing"),
        ('{"format": "spreadsheet"}', "set.json.format: expected assay-calibration"),
        ('{"format": "assay-calibration"}', "set.json.schema_version: is missing"),
        ('{"format": "assay-calibration", "schema_version": 2}', "this version of Assay reads 1, not 2"),
        ('{"format": "assay-calibration", "schema_version": 1, "outcomes": {}}', "outcomes: expected a list"),
        (
            '{"format": "assay-calibration", "schema_version": 1, "outcomes": ["win"]}',
            "outcomes[0]: expected an object",
        ),
    ]
    for raw, complaint in cases:
        with subtests.test(raw=raw, complaint=complaint):
            with pytest.raises(MalformedError) as refusal:
                parse_exchange(raw.encode(), "set.json")
            assert complaint in str(refusal.value)


def test_a_wrong_field_is_named(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict, str]] = [
        ({"repo": None}, "outcomes[0].repo: expected printable text"),
        ({"repo": "a/\u202eb"}, "outcomes[0].repo: expected printable text"),
        ({"density": "0.5"}, "outcomes[0].density: expected a number from 0 to 1"),
        ({"density": -0.1}, "outcomes[0].density: expected a number from 0 to 1"),
        ({"density": 1e999}, "Infinity is not a JSON number"),
        ({"outcome": "win"}, "outcomes[0].outcome: expected one of WIN, SOFT LOSS, HARD LOSS, INCONCLUSIVE"),
        ({"provenance": "rumour"}, "outcomes[0].provenance: expected one of published, measured"),
        ({"label_recipe_id": "messages"}, "outcomes[0].label_recipe_id: expected 12 hexadecimal digits"),
        ({"decided_at": "soon"}, "outcomes[0].decided_at: not a time"),
        ({"rho_adapter": 2}, "outcomes[0].rho_adapter: expected a number from -1 to 1"),
        ({"pairs": 1.5}, "outcomes[0].pairs: expected a whole number"),
        ({"excluded_because": ["x"]}, "outcomes[0].excluded_because: expected printable text"),
    ]
    for changes, complaint in cases:
        with subtests.test(changes=changes, complaint=complaint):
            fields = dataclasses.asdict(outcome()) | changes
            raw = json.dumps({"format": "assay-calibration", "schema_version": 1, "outcomes": [fields]})
            with pytest.raises(MalformedError) as refusal:
                parse_exchange(raw.encode(), "set.json")
            assert complaint in str(refusal.value)
            assert str(refusal.value).isprintable()


def test_a_number_beyond_float_range_is_rejected() -> None:
    raw = render_exchange([outcome(density=0.06)]).replace("0.06", "1e999")
    with pytest.raises(MalformedError, match=r"outcomes\[0\].density: expected a number from 0 to 1"):
        parse_exchange(raw.encode(), "set.json")


def test_optional_fields_may_be_absent() -> None:
    needed = ("repo", "density", "outcome", "provenance", "label_recipe_id")
    full = dataclasses.asdict(outcome())
    fields = {key: full[key] for key in needed}
    raw = json.dumps({"format": "assay-calibration", "schema_version": 1, "outcomes": [fields]})
    assert parse_exchange(raw.encode(), "set.json") == (outcome(),)
