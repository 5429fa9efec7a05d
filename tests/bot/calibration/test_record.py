"""An outcome is added to the ledger once, moves the threshold by the rule, and is kept even if it moves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.calibration.ledger_records import NotCounted
from bot.calibration.record import change_of, reason_not_recorded, record_exclusion
from bot.store.calibrations import calibrations_of
from bot.store.ledger import entries_of
from bot.store.repositories import save_repository
from bot.store.tables import jobs
from pipeline.calibration.calibration_set import track_record
from pipeline.calibration.ledger_entries import Excluded, Included
from pipeline.json_fields import MalformedError
from tests.bot.calibration.scene import Scene, after_days, result
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, repository
from tests.builders.outcomes import RECIPE


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def kinds(scene: Scene) -> list[str]:
    return [row.entry["kind"] for row in scene.store(entries_of, 1)]


def recalibrations(scene: Scene) -> int:
    return sum(row["kind"] == "recalibrate" for row in scene.store.rows(jobs))


def test_a_loss_above_the_threshold_moves_it_and_flips_verdicts_in_between(scene: Scene) -> None:
    scene.screened(8, 0.05)
    scene.screened(9, 0.08)
    change = scene.ran(7, 0.05, "SOFT LOSS")
    assert [change.before.value, change.after.value] == pytest.approx([0.045, 0.055])
    assert change.flipped == ((7, "RUN", "SKIP"), (8, "RUN", "SKIP"))
    assert (change.judged, change.not_counted, change.moved) == (3, None, True)
    assert change.version_before != change.version_after == scene.calibration().version
    assert recalibrations(scene) == 1


def test_the_ledger_keeps_the_earlier_prediction(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    prediction, outcome = (row.entry for row in scene.store(entries_of, 1))
    assert (prediction["kind"], prediction["verdict"], prediction["threshold"]) == ("prediction", "RUN", 0.045)
    assert len(prediction["threshold_version"]) == 12
    assert (outcome["kind"], outcome["outcomes"][0]["outcome"]) == ("outcomes", "SOFT LOSS")
    assert outcome["outcomes"][0]["decided_at"] == after_days(1).isoformat()
    installation_set = scene.store(scene.source.installation_set, 1)
    assert track_record(installation_set.calibration_set, RECIPE).false_positives == ("acme-1/shop-7",)


def test_a_run_is_recorded_once(scene: Scene) -> None:
    run = scene.run(7, 0.05, "SOFT LOSS")
    first = scene.record(run)
    assert scene.record(run) is None
    assert kinds(scene) == ["prediction", "outcomes"]
    assert scene.store(change_of, scene.source, run) == first


def test_an_inconclusive_outcome_is_kept_and_moves_nothing(scene: Scene) -> None:
    run = scene.run(7, 0.05, "INCONCLUSIVE")
    change = scene.record(run)
    assert change is not None
    assert (change.moved, change.flipped, change.version_before) == (False, (), change.version_after)
    assert change.not_counted == NotCounted("inconclusive")
    assert kinds(scene) == ["prediction", "outcomes"]
    assert scene.store(calibrations_of, 1) == []
    assert scene.store(change_of, scene.source, run) == change


def test_runs_that_are_no_evidence_are_not_recorded(scene: Scene, subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        ({"purpose": "refit"}, "not_judged"),
        ({"ending": "crashed"}, "unfinished"),
        ({"result": {"control": "shuffled labels"}}, "control"),
        ({"screening_id": 999}, "no_density"),
        ({"label_recipe_id": "f" * 12}, "label_recipe_differs"),
        ({"result": {"config_hash": "c" * 12}}, "config_differs"),
        ({"result": {"outcome": "GREAT"}}, "unreadable"),
        ({"result": {"base_model_family": 7}}, "unreadable"),
        ({"result": {"rho_adapter": 3.0}}, "unreadable"),
    ]
    for changes, because in cases:
        with subtests.test(changes=changes, because=because):
            run = scene.run(7, 0.05, "WIN", **changes)
            assert scene.store(reason_not_recorded, run) == because
            assert scene.record(run) is None
            assert kinds(scene) == []
            assert recalibrations(scene) == 0
            assert scene.store(change_of, scene.source, run) is None


def test_a_late_result_does_not_override_a_newer_one(scene: Scene) -> None:
    older = scene.run(7, 0.05, "WIN", day=1)
    newer = scene.ran(7, 0.05, "SOFT LOSS", day=2)
    late = scene.record(older)
    assert late is not None
    assert (late.after, late.not_counted) == (newer.after, NotCounted("superseded"))


def test_a_newer_outcome_of_a_repository_replaces_the_older(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS", day=1)
    change = scene.ran(7, 0.05, "WIN", day=2)
    assert change.after.value == pytest.approx(0.04)  # the midpoint of .05 and .03
    assert scene.calibration().standing.measured == 1


def test_a_renamed_repository_keeps_its_outcomes_under_the_new_name(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS", day=1)
    scene.store(save_repository, repository(7, full_name="acme-1/renamed"))
    assert ("acme-1/renamed", 0.05) in scene.calibration().standing.losers
    run = replace(scene.run(7, 0.05, "WIN", day=2))
    scene.store(save_repository, repository(7, full_name="acme-1/renamed"))
    scene.record(run)
    assert scene.calibration().standing.measured == 1
    assert ("acme-1/renamed", 0.05) in scene.calibration().standing.winners


def test_a_model_family_moves_only_its_own_threshold(scene: Scene) -> None:
    change = scene.ran(7, 0.05, "SOFT LOSS", result={"base_model_family": "large"})
    assert not change.moved
    assert change.not_counted == NotCounted("family_differs", family="large", threshold_family="tiny")
    assert scene.store(scene.source.of, 1, family="large").threshold.value == pytest.approx(0.055)


def test_a_recipe_without_a_seed_borrows_the_installations_own_threshold_of_messages(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    threshold = scene.calibration(recipe="f" * 12).threshold
    assert threshold.value == pytest.approx(0.055)
    assert threshold.source == "borrowed"
    assert threshold.band_low <= 0.7 * threshold.value
    assert threshold.band_high >= 1.3 * threshold.value


def test_installations_do_not_see_each_others_outcomes(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    scene.install(2)
    theirs = scene.calibration(2)
    assert theirs.threshold.value == pytest.approx(0.045)
    assert theirs.standing.measured == 0


def test_an_excluded_repository_does_not_count_until_included_again(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS", day=1)
    out = scene.store(record_exclusion, scene.source, 1, 7, Excluded(NOW.isoformat(), "acme-1/shop-7", "a fork"), NOW)
    assert [out.before.value, out.after.value] == pytest.approx([0.055, 0.045])
    late = scene.ran(7, 0.05, "SOFT LOSS", day=2)
    assert (late.moved, late.not_counted) == (False, NotCounted("excluded", operator_reason="a fork"))
    back = scene.store(record_exclusion, scene.source, 1, 7, Included(NOW.isoformat(), "acme-1/shop-7"), NOW)
    assert back.after.value == pytest.approx(0.055)
    assert kinds(scene).count("exclude") == 1
    assert kinds(scene).count("outcomes") == 2


def test_a_reason_that_cannot_be_parsed_again_is_refused(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    for reason in ("x" * 501, "two\nlines"):
        with pytest.raises(MalformedError, match="reason"):
            scene.store(record_exclusion, scene.source, 1, 7, Excluded(NOW.isoformat(), "acme-1/shop-7", reason), NOW)


def test_a_measurement_with_own_configuration_counts_in_its_installation(scene: Scene) -> None:
    change = scene.ran(7, 0.05, "SOFT LOSS", config_hash="c" * 12)
    assert change.moved
    (own,) = scene.store(scene.source.installation_set, 1).own.values()
    assert own.config_hash == "c" * 12


def test_the_fixture_matches_a_real_result() -> None:
    """Against the reports' own JSON, so that a renamed field is noticed here."""
    from pipeline.reports.finetune_json import finetune_json
    from tests.builders.finetunings import result as finetuned

    assert set(result("WIN")) <= set(finetune_json(finetuned()))
