"""Shared rows follow the ledger and the configuration, and are used once enough installations share."""

from __future__ import annotations

from typing import Any

import pytest

from bot.calibration.record import record_exclusion
from bot.calibration.sharing_sync import sync_sharing
from bot.calibration.versions import NotRecomputable, load_rows, recompute, save_changed_versions, threshold_of
from bot.store.calibrations import calibrations_of
from bot.store.installations import delete_installation
from bot.store.repositories import delete_repository
from bot.store.shared_outcomes import SharedFigures, share, shared_rows
from bot.store.tables import shared_outcomes
from pipeline.calibration.ledger_entries import Excluded
from tests.bot.calibration.scene import FAMILY, Scene
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW
from tests.builders.outcomes import RECIPE

ALL = range(1, 100)


@pytest.fixture
def scene(store: Store) -> Scene:
    made = Scene(store, scope="server")
    made.install(1, shares=True)
    return made


def rows(scene: Scene) -> list[dict[str, Any]]:
    return scene.store.rows(shared_outcomes)


def give(scene: Scene, willing: Any = ALL, installation_id: int = 1) -> None:
    scene.store(sync_sharing, scene.source, installation_id, willing)


def others_share(scene: Scene, installations: range, delta: float = -0.02, density: float = 0.07) -> None:
    for number in installations:
        scene.install(number, shares=True)
        scene.store(share, number, 1, SharedFigures(RECIPE, FAMILY, density, delta, "2026-11"))


def test_a_row_reveals_three_digits_and_the_month(scene: Scene) -> None:
    scene.ran(7, 0.051234, "SOFT LOSS")
    give(scene)
    (row,) = rows(scene)
    assert (row["density"], row["delta"], row["month"]) == (0.051, 0.011, "2024-05")
    assert set(row) == {
        *("shared_id", "contributor", "origin_installation_id", "origin_repository_id"),
        *("label_recipe_id", "base_model_family", "density", "delta", "month"),
    }
    assert len(row["contributor"]) == 32


def test_sharing_is_idempotent_and_follows_newer_outcomes(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS", day=1)
    give(scene)
    first = rows(scene)
    give(scene)
    assert rows(scene) == first
    scene.ran(7, 0.05, "WIN", day=2)
    give(scene)
    assert [(row["delta"], row["contributor"]) for row in rows(scene)] == [(0.052, first[0]["contributor"])]


@pytest.mark.parametrize("reason", ["inconclusive", "own configuration", "excluded", "unwilling", "not opted in"])
def test_outcomes_that_may_not_be_shared_are_withdrawn(scene: Scene, reason: str) -> None:
    scene.ran(7, 0.05, "SOFT LOSS", day=1)
    give(scene)
    assert len(rows(scene)) == 1
    if reason == "inconclusive":
        scene.ran(8, 0.05, "INCONCLUSIVE")
        give(scene)
        assert len(rows(scene)) == 1
        return
    if reason == "own configuration":
        scene.ran(7, 0.05, "SOFT LOSS", day=2, config_hash="c" * 12)
    if reason == "excluded":
        scene.store(record_exclusion, scene.source, 1, 7, Excluded(NOW.isoformat(), "acme-1/shop-7", "a fork"), NOW)
    if reason == "not opted in":
        scene.install(1, shares=False)
    give(scene, willing=() if reason == "unwilling" else ALL)
    assert rows(scene) == []


def test_nothing_is_shared_under_scope_installation(store: Store) -> None:
    scene = Scene(store, scope="installation")
    scene.install(1, shares=True)
    scene.ran(7, 0.05, "SOFT LOSS")
    give(scene)
    assert rows(scene) == []


def test_five_contributors_are_counted_but_not_named(scene: Scene) -> None:
    scene.ran(7, 0.05, "WIN")  # .05 and .03: .04
    others_share(scene, range(2, 6))
    assert scene.calibration().standing.shared == 0
    others_share(scene, range(6, 7))
    calibration = scene.calibration()
    assert calibration.standing.shared == 5
    # five losses of .07: cutting at .085 loses the own win of .05 and half a win of .06
    assert calibration.threshold.value == pytest.approx(0.085)
    assert all("shared" not in name for name, _ in (*calibration.standing.winners, *calibration.standing.losers))
    assert not any("shared" in name for name in calibration.standing.counterexamples)


def test_only_sharing_installations_use_shared_outcomes(scene: Scene) -> None:
    others_share(scene, range(2, 8))
    scene.install(9, shares=False)
    assert scene.calibration(9).standing.shared == 0
    assert scene.calibration(1).standing.shared == 6


def test_own_outcomes_are_not_counted_twice(scene: Scene) -> None:
    others_share(scene, range(2, 8))
    scene.ran(7, 0.05, "SOFT LOSS")
    give(scene)
    standing = scene.calibration().standing
    assert (standing.measured, standing.shared) == (1, 6)


def test_shared_figures_outlive_their_installation_anonymously(scene: Scene) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    give(scene)
    scene.store(delete_installation, 1)
    (row,) = rows(scene)
    assert (row["origin_installation_id"], row["origin_repository_id"]) == (None, None)
    assert (row["density"], row["delta"]) == (0.05, 0.011)


def test_the_row_of_a_deleted_repository_stays_anonymous(scene: Scene) -> None:
    others_share(scene, range(2, 8))
    for number in (7, 8):
        scene.ran(number, 0.05, "SOFT LOSS")
    give(scene)
    scene.store(delete_repository, 1, 7)
    give(scene)
    assert len(rows(scene)) == 8
    assert scene.calibration().standing.shared == 6
    assert [row.repository_id for row in scene.store(shared_rows, 1) if row.own] == [0, 8]


def test_a_version_that_used_a_withdrawn_row_says_so(scene: Scene) -> None:
    others_share(scene, range(2, 8))
    scene.ran(7, 0.05, "SOFT LOSS")
    *_, stored = scene.store(calibrations_of, 1)
    assert len(stored.inputs["shared"]) == 6
    assert recompute(stored, scene.store(load_rows, 1)) == threshold_of(stored)
    give(scene, willing=(), installation_id=2)
    assert recompute(stored, scene.store(load_rows, 1)) == NotRecomputable("not recomputable: inputs deleted")
    scene.store(save_changed_versions, scene.source, 1, NOW)
    *_, newest = scene.store(calibrations_of, 1)
    assert len(newest.inputs["shared"]) == 5
    assert recompute(newest, scene.store(load_rows, 1)) == threshold_of(newest)
