"""Verdicts that a threshold flips are judged again and posted once; others are left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.handlers import recalibrate as module
from bot.handlers.recalibrate import recalibrate
from bot.jobs.context import Done, Hooks, JobContext
from bot.policy import Policy
from bot.records import InstallationState, Job
from bot.repo_config.repository_config import ParsedConfig, RepositoryConfig
from bot.repo_config.stored import StoredConfig, dump_config
from bot.store.calibrations import calibrations_of
from bot.store.configs import save_repository_config
from bot.store.installations import set_installation_state
from bot.store.jobs import claim_job, request_job
from bot.store.repositories import delete_repository
from bot.store.screenings import newest_screening, save_screening
from bot.store.tables import jobs, shared_outcomes
from pipeline.screening.measurement import load_judgement
from tests.bot.calibration.conftest import (
    database_url,
    dialect,
    every_statement_names_its_installation,
    migrated_file,
    postgres_databases,
    store,
)
from tests.bot.calibration.scene import Scene, after_days
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, after
from tests.simulator.clocks import SettableClock

__all__ = [
    "database_url",
    "dialect",
    "every_statement_names_its_installation",
    "migrated_file",
    "postgres_databases",
    "store",
]

LATER = after_days(30)


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def claimed(scene: Scene, installation_id: int = 1) -> Job:
    scene.store(request_job, installation_id, 0, "recalibrate", LATER)
    job = scene.store(claim_job, ["recalibrate"], LATER, LATER)
    assert job is not None
    return job


def play(scene: Scene, job: Job | None = None, policy: Policy | None = None) -> Any:
    parts = SimpleNamespace(
        database=scene.store.database,
        clock=SettableClock(LATER),
        calibrations=scene.source,
        policy=policy or Policy(),
        hooks=Hooks(),
    )
    return scene.store.run(recalibrate(JobContext(job or claimed(scene), cast(Any, parts))))


def verdict(scene: Scene, repository_id: int) -> str:
    stored = scene.store(newest_screening, 1, repository_id)
    assert stored is not None
    return str(stored.judgement.get("verdict"))


def waiting(scene: Scene, kind: str = "post", installation_id: int = 1) -> list[int]:
    rows = scene.store.rows(jobs)
    wanted = {"kind": kind, "installation_id": installation_id, "state": "open"}
    return sorted(row["repository_id"] for row in rows if all(row[key] == value for key, value in wanted.items()))


def test_a_flipped_verdict_is_judged_again_with_its_ranking_and_posted(scene: Scene) -> None:
    scene.screened(8, 0.05)
    scene.screened(9, 0.08)
    change = scene.ran(7, 0.05, "SOFT LOSS")
    assert verdict(scene, 8) == "RUN"
    assert isinstance(play(scene), Done)
    assert [verdict(scene, number) for number in (7, 8, 9)] == ["SKIP", "SKIP", "RUN"]
    assert waiting(scene) == [number for number, *_ in change.flipped] == [7, 8]
    again = scene.store(newest_screening, 1, 8)
    assert again is not None
    judged = load_judgement(again.judgement)
    assert (judged.threshold, judged.threshold_version) == (change.after, change.version_after)
    assert again.ranking == {"of": 8}
    assert again.measured_at == NOW


def test_recalibrating_twice_changes_nothing_more(scene: Scene) -> None:
    scene.screened(8, 0.05)
    scene.ran(7, 0.05, "SOFT LOSS")
    play(scene)
    before = scene.store(newest_screening, 1, 8)
    versions = scene.store(calibrations_of, 1)
    play(scene)
    assert scene.store(newest_screening, 1, 8) == before
    assert scene.store(calibrations_of, 1) == versions


def test_a_repository_whose_newest_screening_failed_keeps_its_failure(scene: Scene) -> None:
    scene.screened(8, 0.05)
    scene.store(save_screening, 1, 8, HEAD, after(9), {}, {}, "crashed", "r", "")
    scene.ran(7, 0.05, "SOFT LOSS")
    play(scene)
    newest = scene.store(newest_screening, 1, 8)
    assert newest is not None
    assert newest.failure == "crashed"
    assert waiting(scene) == [7]


def test_more_than_a_batch_continues_in_another_job(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in (8, 9, 10, 11):
        scene.screened(number, 0.05)
    scene.ran(7, 0.05, "SOFT LOSS")
    play(scene)
    assert [verdict(scene, number) for number in range(7, 12)] == ["SKIP", "SKIP", "RUN", "RUN", "RUN"]
    for _ in range(2):
        assert waiting(scene, "recalibrate") == [0]
        play(scene)
    assert {verdict(scene, number) for number in range(7, 12)} == {"SKIP"}
    assert waiting(scene, "recalibrate") == []


def test_an_unreadable_measurement_is_skipped_and_not_retried_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    scene.ran(7, 0.2, "WIN")
    unreadable = {"density": {"value": 0.9}}, {"verdict": "SKIP", "measurable": True}
    for number in (7, 8):
        scene.screened(number, 0.2)
        calibration = scene.calibration()
        scene.store(save_screening, 1, number, HEAD, NOW, *unreadable, "", calibration.label_recipe_id, "")
    play(scene)
    assert [verdict(scene, number) for number in (7, 8)] == ["SKIP", "SKIP"]
    assert waiting(scene, "recalibrate") == []


def test_after_a_deletion_a_new_threshold_is_stored_and_applied(scene: Scene) -> None:
    scene.screened(8, 0.05)
    scene.ran(7, 0.05, "SOFT LOSS")
    play(scene)
    assert verdict(scene, 8) == "SKIP"
    scene.store(delete_repository, 1, 7)
    play(scene)
    assert verdict(scene, 8) == "RUN"
    *_, newest = scene.store(calibrations_of, 1)
    assert newest.threshold["value"] == pytest.approx(0.045)
    assert newest.flips["flipped"] == [[8, "SKIP", "RUN"]]


@pytest.mark.parametrize("state", ["suspended", "refused"])
def test_an_installation_that_is_not_served_is_left_alone(scene: Scene, state: InstallationState) -> None:
    scene.screened(8, 0.05)
    scene.ran(7, 0.05, "SOFT LOSS")
    scene.store(set_installation_state, 1, state)
    play(scene)
    assert verdict(scene, 8) == "RUN"


def test_a_deleted_installation_needs_no_recalibration(scene: Scene) -> None:
    scene.install(1)
    job = replace(claimed(scene), installation_id=99)
    assert play(scene, job) == Done("no such installation")


def test_others_recalibrate_once_within_an_hour_of_a_shared_outcome(store: Store) -> None:
    scene = Scene(store, scope="server")
    for number in (1, 2, 3):
        scene.install(number, shares=True)
    scene.store(set_installation_state, 3, "suspended")
    scene.ran(7, 0.05, "SOFT LOSS")
    policy = Policy(calibration_scope="server")
    play(scene, policy=policy)
    assert len(scene.store.rows(shared_outcomes)) == 1
    told = [row for row in scene.store.rows(jobs) if row["installation_id"] != 1]
    assert [(row["kind"], row["installation_id"]) for row in told] == [("recalibrate", 2)]
    assert told[0]["not_before"] == LATER + timedelta(hours=1)
    play(scene, policy=policy)
    assert [row for row in scene.store.rows(jobs) if row["installation_id"] != 1] == told


def test_a_repository_that_opts_out_takes_its_figures_back(store: Store) -> None:
    scene = Scene(store, scope="server")
    scene.install(1, shares=True)
    scene.ran(7, 0.05, "SOFT LOSS")
    policy = Policy(calibration_scope="server")
    play(scene, policy=policy)
    assert len(scene.store.rows(shared_outcomes)) == 1
    refusal = StoredConfig(ParsedConfig(RepositoryConfig(share_outcomes=False)), HEAD, True)
    scene.store(save_repository_config, 1, 7, dump_config(refusal))
    play(scene, policy=policy)
    assert scene.store.rows(shared_outcomes) == []
