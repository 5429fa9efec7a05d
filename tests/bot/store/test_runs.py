"""The life of a fine-tuning run: requested once, prepared, queued, leased, abandoned, ended."""

from __future__ import annotations

from typing import Any

import pytest

from bot.records import GpuState, Run
from bot.store.budgets import save_gpu_state, set_budget
from bot.store.installations import delete_installation, save_installation
from bot.store.jobs import LostLease
from bot.store.repositories import delete_repository, save_repository
from bot.store.runs import (
    RunRequest,
    all_runs,
    claim_run,
    end_run,
    expired_runs,
    finish_run,
    forget_artifacts,
    give_back_run,
    load_run,
    lock_run,
    note_checkpoint,
    note_progress,
    open_run,
    open_runs,
    queue_run,
    ready_runs,
    renew_run,
    request_cancellation,
    requeue_run,
    runs_of,
    settle_run,
)
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository

LEASE_S = 60.0


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(set_budget, number, 100.0, 1, NOW)
        for repository_id in (7, 8):
            store(save_repository, repository(repository_id, number))
    return store


def request(**changes: Any) -> RunRequest:
    values: dict[str, Any] = {
        "purpose": "judge",
        "head_sha": HEAD,
        "base_model": "acme/coder",
        "recipe": {"epochs": 1},
        "label_recipe_id": "abc",
    }
    return RunRequest(**values | changes)


def ask(store: Store, repository_id: int = 7, installation_id: int = 1, **changes: Any) -> Run:
    return store(open_run, installation_id, repository_id, request(**changes), NOW)[0]


def queue(store: Store, at_s: float = 0, **options: Any) -> Run:
    run = ask(store, **options)
    assert store(queue_run, run, pair_set_id="f" * 64, minutes=12.5, month="2024-05", now=after(at_s))
    return load(store, run)


def claim(store: Store, at_s: float = 0, worker: str = "gpu-1") -> Run | None:
    return store(claim_run, worker, after(at_s), after(at_s), lease_s=LEASE_S)


def running(store: Store, **options: Any) -> Run:
    queue(store, **options)
    run = claim(store)
    assert run is not None
    return run


def load(store: Store, run: Run) -> Run:
    found = store(load_run, run.installation_id, run.run_id)
    assert found is not None
    return found


# Asked for


def test_a_new_run_waits_and_stores_its_request(store: Store) -> None:
    run, is_new = store(open_run, 1, 7, request(forced=True, asked_by=5, comment_id=9, screening_id=3), NOW)
    assert is_new
    assert (run.state, run.ending, run.forced, run.audit) == ("waiting", None, True, False)
    assert (run.asked_by, run.comment_id, run.screening_id, run.made_at) == (5, 9, 3, NOW)
    assert (run.recipe, run.checkpoints, run.result, run.settled) == ({"epochs": 1}, (), None, False)


def test_a_repeated_request_is_one_run_until_it_ends(store: Store) -> None:
    first = ask(store)
    assert store(open_run, 1, 7, request(), after(1)) == (first, False)
    assert store(end_run, first, "cancelled", "no more", after(2))
    again, is_new = store(open_run, 1, 7, request(), after(3))
    assert is_new
    assert again.run_id != first.run_id


@pytest.mark.parametrize(
    "other", [{"head_sha": NEXT}, {"purpose": "refit"}, {"repository_id": 8}, {"installation_id": 2}]
)
def test_another_head_purpose_or_repository_is_another_run(store: Store, other: dict[str, Any]) -> None:
    assert ask(store).run_id != ask(store, **other).run_id


def test_the_runs_of_a_repository_are_found(store: Store) -> None:
    first, second, elsewhere = ask(store), ask(store, head_sha=NEXT), ask(store, repository_id=8)
    refit = ask(store, purpose="refit")
    assert [run.run_id for run in store(runs_of, 1, 7)] == [refit.run_id, second.run_id, first.run_id]
    assert store(runs_of, 1, 7, "refit") == [refit]
    store(end_run, first, "refused", "too few pairs", after(1))
    assert [run.run_id for run in store(open_runs, 1, 7)] == [second.run_id, refit.run_id]
    assert elsewhere in store(open_runs, 1)
    assert store(load_run, 2, first.run_id) is None


# Queued and taken


def test_a_queued_run_stores_its_input_and_its_maximal_cost(store: Store) -> None:
    run = queue(store, at_s=5)
    assert (run.state, run.pair_set_id, run.estimated_minutes) == ("queued", "f" * 64, 12.5)
    assert (run.budget_month, run.queued_at) == ("2024-05", after(5))
    assert not store(queue_run, run, pair_set_id="0" * 64, minutes=1.0, month="2024-06", now=after(6))
    assert store(ready_runs, after(5), 10) == [run.run_id]


def test_a_run_is_claimed_once_by_a_named_worker(store: Store) -> None:
    run = running(store)
    assert (run.state, run.attempts, run.worker, run.started_at) == ("running", 1, "gpu-1", NOW)
    assert len(run.lease_token or "") == 32
    assert claim(store) is None
    assert store(lock_run, 1, run.run_id) == run
    assert store(all_runs, "running") == [run]


def test_the_budget_limits_concurrent_runs_per_installation(store: Store) -> None:
    queue(store)
    queue(store, at_s=1, repository_id=8)
    queue(store, at_s=2, installation_id=2)
    taken = [claim(store, at_s=3) for _ in range(3)]
    assert [run and (run.installation_id, run.repository_id) for run in taken] == [(1, 7), (2, 7), None]
    store(set_budget, 1, 100.0, 2, NOW)
    last = claim(store, at_s=4)
    assert last is not None
    assert last.repository_id == 8


def test_no_run_is_claimed_while_gpus_are_paused_or_without_a_budget(store: Store) -> None:
    queue(store)
    store(save_gpu_state, GpuState("maintenance"))
    assert claim(store) is None
    store(save_gpu_state, GpuState())
    assert claim(store) is not None
    store(save_installation, installation(3), NOW)
    store(save_repository, repository(7, 3))
    queue(store, installation_id=3)
    assert claim(store, at_s=1) is None


# Held


def test_renewing_a_lease_reports_a_requested_cancellation(store: Store) -> None:
    run = running(store)
    assert store(renew_run, run, after(100), 1.5).held
    assert load(store, run).spent_minutes == 1.5
    assert store(request_cancellation, run)
    renewal = store(renew_run, run, after(120), 2.0)
    assert renewal.held
    assert renewal.cancel_asked


def test_only_the_holder_writes_progress_and_checkpoints(store: Store) -> None:
    run = running(store)
    store(note_progress, run, {"step": 3}, after(1))
    for sha256 in ("aa", "bb", "aa"):
        store(note_checkpoint, run, sha256)
    noted = load(store, run)
    assert (noted.progress, noted.progress_at, noted.checkpoints) == ({"step": 3}, after(1), ("aa", "bb"))
    [expired] = store(expired_runs, after(LEASE_S + 1))
    assert store(requeue_run, expired, "its worker vanished", after(LEASE_S + 1))
    other = claim(store, at_s=LEASE_S + 2, worker="gpu-2")
    assert other is not None
    assert (other.attempts, other.worker, other.checkpoints) == (2, "gpu-2", ("aa", "bb"))
    for write in (
        lambda: store(note_progress, run, {"step": 4}, after(90)),
        lambda: store(note_checkpoint, run, "cc"),
        lambda: store(finish_run, run, "finished", "", after(90), spent_minutes=9.0),
        lambda: store(give_back_run, run, "", after(90), counts=False, spent_minutes=9.0),
    ):
        with pytest.raises(LostLease):
            write()
    assert not store(renew_run, run, after(200), 9.0).held
    assert not store(requeue_run, expired, "again", after(91))
    assert load(store, run).spent_minutes == 0.0


def test_a_returned_run_is_queued_again_with_or_without_counting_the_attempt(store: Store) -> None:
    run = running(store)
    store(give_back_run, run, "the worker was told to stop", after(5), counts=False, spent_minutes=3.0)
    back = load(store, run)
    assert (back.state, back.attempts, back.spent_minutes, back.lease_token) == ("queued", 0, 3.0, None)
    assert claim(store, at_s=4) is None
    assert claim(store, at_s=5) is not None


# Ended


def test_a_finished_run_stores_its_result_and_is_settled_once(store: Store) -> None:
    run = running(store)
    assert not store(settle_run, run)
    store(
        finish_run,
        run,
        "finished",
        "",
        after(9),
        spent_minutes=4.0,
        result={"outcome": "WIN"},
        recipe_id="r",
        artifacts="a/1",
    )
    done = load(store, run)
    assert (done.state, done.ending, done.result, done.recipe_id) == ("ended", "finished", {"outcome": "WIN"}, "r")
    assert (done.ended_at, done.lease_token, done.artifacts) == (after(9), None, "a/1")
    assert [store(settle_run, run), store(settle_run, run)] == [True, False]
    store(forget_artifacts, run)
    assert load(store, run).artifacts is None
    assert not store(request_cancellation, run)


def test_a_run_ended_by_a_bot_worker_is_lost_to_its_gpu_worker(store: Store) -> None:
    run = running(store)
    assert store(end_run, run, "timed_out", "took too long", after(9))
    assert not store(end_run, run, "crashed", "too late", after(10))
    with pytest.raises(LostLease):
        store(finish_run, run, "finished", "", after(11), spent_minutes=4.0)
    assert load(store, run).ending == "timed_out"


def test_a_run_that_changed_hands_is_not_ended_from_an_old_copy(store: Store) -> None:
    queued = queue(store)
    assert claim(store) is not None
    assert not store(end_run, queued, "cancelled", "", after(1))


def test_runs_are_deleted_with_their_repository_and_installation(store: Store) -> None:
    of_seven, of_eight, of_two = ask(store), ask(store, repository_id=8), ask(store, installation_id=2)
    store(delete_repository, 1, 7)
    assert store(load_run, 1, of_seven.run_id) is None
    assert store(load_run, 1, of_eight.run_id) == of_eight
    store(delete_installation, 1)
    assert store(load_run, 1, of_eight.run_id) is None
    assert store(all_runs) == [of_two]
