"""The threshold depends on the outcomes and not on their order, and every version recomputes from its inputs."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.calibration.inputs import dump_inputs, inputs_of, load_inputs, refit
from bot.calibration.installation_set import build_installation_set
from bot.calibration.versions import NotRecomputable, load_rows, recompute, save_changed_versions, threshold_of
from bot.store.calibrations import StoredCalibration, calibrations_of, save_calibration
from bot.store.ledger import LedgerRow
from bot.store.repositories import delete_repository, save_repository
from pipeline.calibration.calibration_set import replay
from pipeline.calibration.ledger_entries import Excluded, Moved, Recorded, dump_entry
from pipeline.calibration.threshold import fit
from pipeline.records import Outcome, Threshold
from tests.bot.calibration.scene import BASE, FAMILY, Scene, after_days
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, repository
from tests.builders.outcomes import RECIPE, outcome, outcomes
from tests.builders.predictions import AT
from tests.builders.seeds import seed

KINDS = ("WIN", "SOFT LOSS", "HARD LOSS", "INCONCLUSIVE")
DELETED = NotRecomputable("not recomputable: inputs deleted")


def drawn(number: int) -> list[tuple[int, float, str, float]]:
    """(repository, density, outcome, day): fifty of thirty-eight repositories, densities on a grid with ties."""
    chance = random.Random(number)
    return [
        (1 + index % 38, chance.randint(2, 60) / 500, chance.choice(KINDS), chance.random() * 100)
        for index in range(50)
    ]


def play(scene: Scene, runs: list[tuple[int, float, str, float]]) -> None:
    for repository_id, density, kind, day in runs:
        scene.ran(repository_id, density, kind, day=day)


def made_again(scene: Scene) -> list[tuple[StoredCalibration, Threshold | NotRecomputable]]:
    rows = scene.store(load_rows, 1)
    return [(stored, recompute(stored, rows)) for stored in scene.store(calibrations_of, 1)]


def batch(runs: list[tuple[int, float, str, float]]) -> Threshold:
    """Of all at once, without anything that the App keeps."""
    own = [
        Outcome(f"r/{number}", density, kind, "measured", RECIPE, after_days(day).isoformat(), FAMILY)  # type: ignore[arg-type]
        for number, density, kind, day in runs
    ]
    shipped = seed()
    return fit(
        [*shipped.outcomes(), *own],
        previous=shipped.threshold.value,
        seed_threshold=shipped.threshold,
        label_recipe_id=RECIPE,
    ).threshold


@pytest.mark.parametrize("order", [1, 2])
def test_fifty_outcomes_in_any_order_match_the_batch_and_every_version_recomputes(store: Store, order: int) -> None:
    scene, runs = Scene(store), drawn(7)
    shuffled = runs.copy()
    random.Random(order).shuffle(shuffled)
    play(scene, shuffled)
    assert scene.calibration().threshold == batch(runs)
    versions = made_again(scene)
    assert len(versions) > 25
    assert threshold_of(versions[-1][0]) == batch(runs)
    for stored, again in versions:
        assert again == threshold_of(stored), stored.version


def row(entry_id: int, measured: Outcome, repository_id: int) -> LedgerRow:
    entry = dump_entry(Recorded(NOW.isoformat(), (measured,)))
    entry["outcomes"] = list(entry["outcomes"])
    return LedgerRow(entry_id, repository_id, f"acme/{repository_id}", entry_id, NOW, entry)


POINTS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 40), st.sampled_from(["win", "loss", "hard", "INCONCLUSIVE"])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_ledger_is_irrelevant(points: Any, chance: random.Random) -> None:
    rows = [
        row(index, outcome(kind, "any", step / 400, decided_at=after_days(index).isoformat()), repository_id)
        for index, (repository_id, step, kind) in enumerate(points, 1)
    ]
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    first, second = (build_installation_set(BASE, order, {}).calibration_set.calibrate() for order in (rows, shuffled))
    assert (first.threshold, first.version) == (second.threshold, second.version)


def test_ties_are_broken_by_the_seed_not_the_previous_threshold() -> None:
    """One error in each of .025-.045 and .055-.075, which are equally wide; the seed's .045 is nearer the lower one."""
    none_published = [Excluded(AT, name, "x") for name in ("win/one", "win/two", "loss/one", "loss/two")]
    base = replay([*none_published, Moved(AT, RECIPE, 0.06, "v")], seed())
    tied = outcomes("loss p .005, win q .105, loss a .025, win b .045, loss c .055, win d .075")
    rows = [row(index, measured, index) for index, measured in enumerate(tied, 1)]
    assert build_installation_set(base, rows, {}).calibration_set.calibrate().threshold.value == pytest.approx(0.035)


def test_ties_are_broken_likewise_when_recomputing() -> None:
    """The gaps .015-.025 and .045-.055 cost one error each; without the seed's .045 it would be the lower one."""
    none_published = [Excluded(AT, name, "x") for name in ("win/one", "win/two", "loss/one", "loss/two")]
    tied = outcomes("loss a .015, win b .025, loss c .045, win d .055")
    rows = [row(index, measured, index) for index, measured in enumerate(tied, 1)]
    installation_set = build_installation_set(replay(none_published, seed()), rows, {})
    calibration = installation_set.calibration_set.calibrate()
    assert calibration.threshold.value == pytest.approx(0.05)
    inputs = load_inputs(json.loads(json.dumps(dump_inputs(inputs_of(installation_set, calibration)))))
    assert refit(inputs, dict(enumerate(tied, 1)), {}).threshold == calibration.threshold


def test_the_first_version_is_the_one_before_the_first_outcome(store: Store) -> None:
    scene = Scene(store)
    change = scene.ran(7, 0.05, "SOFT LOSS")
    first, second = scene.store(calibrations_of, 1)
    assert (first.version, first.run_id, first.flips) == (change.version_before, 0, {})
    assert (second.version, second.run_id) == (change.version_after, 1)
    assert second.inputs["anchor"] == BASE.seed_thresholds[RECIPE].value
    assert [given["repo"] for given in second.inputs["given"]] == ["win/one", "win/two", "loss/one", "loss/two"]


def test_renaming_a_repository_changes_no_version(store: Store) -> None:
    scene = Scene(store)
    scene.ran(7, 0.05, "SOFT LOSS")
    scene.ran(8, 0.05, "WIN")
    scene.store(save_repository, repository(7, full_name="zzz/renamed"))
    assert all(again == threshold_of(stored) for stored, again in made_again(scene))


def test_versions_that_used_a_deleted_repository_say_so_and_are_superseded(store: Store) -> None:
    scene = Scene(store)
    for repository_id, density, kind in ((6, 0.07, "WIN"), (7, 0.05, "SOFT LOSS"), (8, 0.04, "SOFT LOSS")):
        scene.ran(repository_id, density, kind, day=repository_id)
    scene.store(delete_repository, 1, 7)
    before = made_again(scene)
    assert [again == DELETED for _, again in before] == [False, False, True, True]
    assert all(again == threshold_of(stored) for stored, again in before[:2])

    (change,) = scene.store(save_changed_versions, scene.source, 1, after_days(9))
    assert [change.before.value, change.after.value] == pytest.approx([0.055, 0.05])
    newest, again = made_again(scene)[-1]
    assert again == threshold_of(newest) == change.after == scene.calibration().threshold
    assert scene.store(save_changed_versions, scene.source, 1, after_days(9) + timedelta(hours=1)) == []


def test_deleting_an_inconclusive_outcome_changes_no_version(store: Store) -> None:
    scene = Scene(store)
    scene.ran(6, 0.07, "INCONCLUSIVE")
    scene.ran(7, 0.05, "SOFT LOSS")
    scene.store(delete_repository, 1, 6)
    assert all(again == threshold_of(stored) for stored, again in made_again(scene))
    assert scene.store(save_changed_versions, scene.source, 1, NOW) == []


def test_a_borrowed_threshold_recomputes_from_its_lender(store: Store) -> None:
    """Another label recipe, whose one outcome is a win: the class that is missing is answered by `messages`."""
    scene = Scene(store)
    scene.ran(7, 0.05, "SOFT LOSS")
    fitted = scene.store(scene.source.fitted, 1, "f" * 12)
    assert fitted.calibration.threshold.source == "borrowed"
    assert fitted.inputs.lender is not None
    assert len(fitted.inputs.lender.entries) == 1
    threshold, inputs = asdict(fitted.calibration.threshold), dump_inputs(fitted.inputs)
    version = fitted.calibration.version
    scene.store(save_calibration, 1, "f" * 12, FAMILY, version, threshold, inputs, {}, 0, NOW)
    assert made_again(scene)[-1][1] == fitted.calibration.threshold
    scene.store(delete_repository, 1, 7)
    assert made_again(scene)[-1][1] == DELETED


def test_a_version_that_differs_from_its_inputs_is_detected(store: Store) -> None:
    scene = Scene(store)
    scene.ran(7, 0.05, "SOFT LOSS")
    *_, newest = scene.store(calibrations_of, 1)
    touched = StoredCalibration(**{**vars(newest), "inputs": {**newest.inputs, "entries": []}})
    assert recompute(touched, scene.store(load_rows, 1)) != threshold_of(newest)
