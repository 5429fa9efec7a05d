"""Which artifacts are kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bot.disk.artifacts import Artifacts, Stored
from bot.handlers.installations.cleanup import find_unneeded, purge_artifacts
from bot.jobs.context import Parts
from bot.records import Run
from bot.store.budgets import set_budget
from bot.store.repositories import delete_repository
from bot.store.runs import RunRequest, claim_run, finish_run, load_run, open_run, queue_run
from pipeline.finetuning.artifact_store import StoreError, open_store
from pipeline.reports.finetune_json import finetune_json
from tests.bot.conftest import Shop, Story
from tests.builders.finetunings import result
from tests.builders.runs import AT, a_run

KEPT = timedelta(days=90)
NOW = AT + timedelta(days=400)
LEASE, LOST = "a" * 12, "b" * 12
WIN = finetune_json(result(strength=10.0))
LOSS = finetune_json(result(strength=-10.0))


def done(run_id: int = 7, lease: str = LEASE) -> Stored:
    return Stored(1, 2, "done", run_id, lease)


def checkpoints(run_id: int = 7) -> Stored:
    return Stored(1, 2, "checkpoints", run_id)


def pairs(letter: str = "1") -> Stored:
    return Stored(1, 2, "pairs", name=letter * 64)


def ended(run_id: int = 7, days_ago: float = 1, **changed: Any) -> Run:
    at = NOW - timedelta(days=days_ago)
    usual = {
        "state": "ended",
        "ending": "finished",
        "artifacts": f"x/runs/{run_id}/done/{LEASE}",
        "pair_set_id": "1" * 64,
    }
    return a_run(**usual | {"run_id": run_id, "made_at": at, "ended_at": at} | changed)


def test_the_results_have_the_outcomes_that_these_tests_assume() -> None:
    assert (WIN["outcome"], LOSS["outcome"]) == ("WIN", "HARD LOSS")


def test_artifacts_are_kept_by_kind_state_and_age() -> None:
    cases: list[tuple[Stored, list[Run], bool]] = [
        # checkpoints
        (checkpoints(), [a_run(state="running")], True),
        (checkpoints(), [a_run(state="queued")], True),
        (checkpoints(), [ended()], False),
        (checkpoints(), [ended(8)], False),
        # pairs
        (pairs(), [a_run(state="queued", pair_set_id="1" * 64)], True),
        (pairs(), [a_run(state="running", pair_set_id="1" * 64)], True),
        (pairs(), [a_run(state="running", pair_set_id="2" * 64)], False),
        (pairs(), [a_run(state="waiting")], True),  # they were put there a moment ago
        (pairs(), [ended()], False),
        (pairs(), [], False),
        # adapters
        (done(), [ended(days_ago=89)], True),
        (done(), [ended(days_ago=91)], False),
        (done(lease=LOST), [ended(days_ago=1)], False),
        (done(lease=LOST), [a_run(state="running")], True),
        (done(), [ended(artifacts=None)], False),
        (done(), [], False),
        # the one in force
        (done(), [ended(days_ago=300, result=WIN)], True),
        (done(), [ended(days_ago=300, result=LOSS)], False),
        (done(), [ended(days_ago=300, result=WIN), ended(8, days_ago=200, result=LOSS)], False),
        (done(), [ended(days_ago=300, result=WIN), ended(8, days_ago=200, result=WIN)], False),
        (done(8), [ended(days_ago=300, result=WIN), ended(8, days_ago=200, purpose="refit", judged_run_id=7)], True),
        (done(8), [ended(days_ago=300, result=LOSS), ended(8, days_ago=200, purpose="refit", judged_run_id=7)], False),
        (
            done(8),
            [
                ended(days_ago=300, result=WIN),
                ended(8, days_ago=200, purpose="refit", judged_run_id=7),
                ended(9, days_ago=150, purpose="refit", judged_run_id=7),
            ],
            False,
        ),
        # what came after its repository was removed is seen to elsewhere
        (Stored(1, 2, ""), [], True),
    ]
    wrong = [
        (stored, runs, is_kept, got, expected)
        for stored, runs, is_kept in cases
        if (got := find_unneeded([stored], runs, NOW, KEPT)) != (expected := [] if is_kept else [stored])
    ]
    assert wrong == []


STATES = st.sampled_from(["waiting", "queued", "running", "ended"])
CONTENT = st.one_of(
    st.builds(checkpoints, st.integers(1, 3)),
    st.builds(done, st.integers(1, 3), st.sampled_from([LEASE, LOST])),
    st.builds(pairs, st.sampled_from("12")),
)


@given(st.lists(CONTENT, max_size=6), st.lists(STATES, max_size=3), st.floats(0, 400))
def test_artifacts_of_an_open_run_are_never_deleted(contents: list[Stored], states: list[str], days: float) -> None:
    runs = [
        ended(i + 1, days) if state == "ended" else a_run(run_id=i + 1, state=state, pair_set_id="1" * 64)
        for i, state in enumerate(states)
    ]
    gone = find_unneeded(contents, runs, NOW, KEPT)
    is_open = {run.run_id for run in runs if run.state != "ended"}
    assert not any(stored.run_id in is_open for stored in gone)
    assert not is_open or pairs("1") not in gone


Play = Callable[[Story], None]


def parts_of(shop: Shop, artifacts: Artifacts) -> Parts:
    return cast(
        Parts, SimpleNamespace(database=shop.database, clock=shop.clock, policy=shop.policy, artifacts=artifacts)
    )


async def finished(shop: Shop, artifacts: Artifacts) -> Run:
    """A run of the shop from end to end, with all that it leaves."""
    now = shop.clock.now()
    await shop.write(set_budget, 10, 100.0, 1, now)
    request = RunRequest(purpose="judge", head_sha="a" * 40, base_model="m", recipe={}, label_recipe_id="l")
    run, _ = await shop.write(open_run, 10, 100, request, now)
    artifacts.put_pairs(10, 100, b"pairs", "1" * 64)
    async with shop.database.write() as connection:
        await queue_run(connection, run, pair_set_id="1" * 64, minutes=1.0, month="2026-11", now=now)
        held = await claim_run(connection, "gpu", now, now, lease_s=60)
        assert held is not None
        await finish_run(connection, held, "finished", "", now, spent_minutes=1, artifacts=artifacts.done_name(held))
    open_store(artifacts.checkpoints_url(held)).write("job.json", b"{}")
    artifacts.open_done(artifacts.done_name(held)).write("result.json", b"{}")
    found = await shop.read(load_run, 10, held.run_id)
    assert isinstance(found, Run)
    return found


def test_an_ended_run_loses_pairs_and_checkpoints_at_once_and_its_adapter_later(play: Play, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")

    async def story(shop: Shop) -> None:
        shop.policy = replace(shop.policy, artifacts_days=90)
        run = await finished(shop, artifacts)
        parts = parts_of(shop, artifacts)
        assert await purge_artifacts(parts) == 2
        assert [stored.kind for stored in artifacts.contents()] == ["", "done"]
        assert await purge_artifacts(parts) == 0
        shop.clock.advance(timedelta(days=91))
        assert await purge_artifacts(parts_of(shop, artifacts)) == 1
        assert artifacts.contents() in ((), (Stored(10, 100, ""),))
        after = await shop.read(load_run, 10, run.run_id)
        assert (after.artifacts, after.state, after.ending) == (None, "ended", "finished")

    play(story)


def test_artifacts_of_a_repository_without_a_row_are_deleted(play: Play, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")

    async def story(shop: Shop) -> None:
        await finished(shop, artifacts)
        artifacts.put_pairs(10, 101, b"of another", "1" * 64)
        await shop.write(delete_repository, 10, 100)
        assert await purge_artifacts(parts_of(shop, artifacts)) == 2
        assert artifacts.contents() == ()

    play(story)


def test_a_broken_store_stops_nothing_else(play: Play, tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")

    def broken() -> Any:
        raise StoreError("away")

    async def story(shop: Shop) -> None:
        artifacts.contents = broken  # type: ignore[method-assign]
        assert await purge_artifacts(parts_of(shop, artifacts)) == 0

    play(story)
