"""Concurrent recording, sharing and recalibration: no deadlocks, no lost updates."""

from __future__ import annotations

import asyncio

import pytest

from bot.calibration.record import record_outcome
from bot.calibration.sharing_sync import sync_sharing
from bot.calibration.versions import load_rows, recompute, threshold_of
from bot.records import Run
from bot.store.calibrations import calibrations_of
from bot.store.screenings import save_screening
from bot.store.tables import jobs, shared_outcomes
from bot.store.verdicts import lock_newest
from tests.bot.calibration.scene import Scene, after_days
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW
from tests.builders.outcomes import RECIPE


@pytest.fixture
def scene(store: Store) -> Scene:
    made = Scene(store, scope="server")
    made.install(1, shares=True)
    return made


def test_concurrent_outcomes_are_recorded_one_after_another(scene: Scene) -> None:
    runs = [scene.run(number, 0.03 + number / 400, "SOFT LOSS") for number in range(1, 7)]

    async def record(run: Run) -> None:
        async with scene.store.database.write() as connection:
            await record_outcome(connection, scene.source, run, after_days(2))

    async def all_at_once() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(record(run) for run in [*runs, *runs]))

    scene.store.run(all_at_once())
    first, *versions = scene.store(calibrations_of, 1)
    assert sorted(version.run_id for version in versions) == [1, 2, 3, 4, 5, 6]
    for before, after in zip([first, *versions], versions, strict=False):
        assert after.flips["version_before"] == before.version
        assert len(after.inputs["entries"]) == len(before.inputs["entries"]) + 1
    rows = scene.store(load_rows, 1)
    assert all(recompute(version, rows) == threshold_of(version) for version in versions)
    assert len([row for row in scene.store.rows(jobs) if row["kind"] == "recalibrate"]) == 1


def test_concurrent_sharing_adds_one_row(scene: Scene) -> None:
    for number in (1, 2, 3):
        scene.ran(number, 0.05, "SOFT LOSS")

    async def give() -> None:
        async with scene.store.database.write() as connection:
            await sync_sharing(connection, scene.source, 1, range(9))

    async def all_at_once() -> None:
        async with asyncio.timeout(60):
            await asyncio.gather(*(give() for _ in range(4)))

    scene.store.run(all_at_once())
    rows = scene.store.rows(shared_outcomes)
    assert (len(rows), len({row["contributor"] for row in rows})) == (3, 1)


@pytest.mark.services
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_recalibration_waits_for_a_screening_being_stored(scene: Scene, dialect: str) -> None:
    scene.screened(7, 0.05)

    async def look() -> tuple[object, object]:
        database = scene.store.database
        async with asyncio.timeout(30), database.write() as writing, database.write() as judging:
            await save_screening(writing, 1, 7, HEAD, NOW, {}, {}, "crashed", RECIPE, "")
            meanwhile = await lock_newest(judging, 1, 7)
        async with database.write() as judging:
            return meanwhile, await lock_newest(judging, 1, 7)

    meanwhile, afterwards = scene.store.run(look())
    assert meanwhile is None
    assert getattr(afterwards, "failure", "") == "crashed"
