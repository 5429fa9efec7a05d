"""Budgets, reservations, usage, and what stays counted after a deletion."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bot.handlers.finetuning.prepare_budget import reserve
from bot.handlers.finetuning.prepare_checks import EndRun
from bot.records import Budget, GpuState, GpuWorker, Run, Usage
from bot.store.budgets import (
    all_budgets,
    forget_gpu_workers,
    list_gpu_workers,
    load_budget,
    load_gpu_state,
    lock_reservations,
    month_of,
    newest_results,
    note_gpu_worker,
    remove_budget,
    save_gpu_state,
    set_budget,
    spent_by_repository,
    usage_of,
    usage_of_all,
)
from bot.store.installations import delete_installation, save_installation
from bot.store.repositories import delete_repository, save_repository
from bot.store.runs import RunRequest, claim_run, end_run, finish_run, load_run, open_run, queue_run, renew_run
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, after, installation, repository

MONTH = "2024-05"


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(set_budget, number, 100.0, 5, NOW)
        for repository_id in range(7, 15):
            store(save_repository, repository(repository_id, number))
    return store


def reserved(store: Store, minutes: float, repository_id: int = 7, installation_id: int = 1, head: str = "a") -> Any:
    request = RunRequest(purpose="judge", head_sha=head * 40, base_model="acme/coder", recipe={}, label_recipe_id="abc")
    run, _ = store(open_run, installation_id, repository_id, request, NOW)
    store(queue_run, run, pair_set_id="f" * 64, minutes=minutes, month=MONTH, now=NOW)
    return run


def claim(store: Store) -> Run:
    run = store(claim_run, "gpu-1", NOW, NOW, lease_s=60.0)
    assert run is not None
    return run


def finish(store: Store, spent_minutes: float) -> None:
    run = claim(store)
    store(finish_run, run, "finished", "", after(1), spent_minutes=spent_minutes)


def test_a_month_is_a_calendar_month_in_utc() -> None:
    assert month_of(datetime(2024, 5, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))) == "2024-06"
    assert month_of(datetime(2024, 5, 31, 23, 30, tzinfo=UTC)) == "2024-05"


def test_a_budget_is_set_changed_and_removed(store: Store) -> None:
    store(set_budget, 1, 250.0, 2, after(5))
    assert store(load_budget, 1) == Budget(1, 250.0, 2, after(5))
    assert store(load_budget, 1, lock=True) == store(all_budgets)[0]
    assert [store(remove_budget, 1), store(remove_budget, 1)] == [True, False]
    assert store(load_budget, 1) is None


def test_reserved_minutes_count_until_the_run_ends_then_its_cost(store: Store) -> None:
    reserved(store, 30.0)
    reserved(store, 20.0, repository_id=8)
    assert store(usage_of, 1, MONTH) == Usage(0.0, 50.0)
    finish(store, 12.0)
    assert store(usage_of, 1, MONTH) == Usage(12.0, 20.0)
    assert store(usage_of, 2, MONTH) == store(usage_of, 1, "2024-06") == Usage(0.0, 0.0)


def test_a_run_that_has_cost_more_than_was_reserved_counts_with_what_it_has_cost(store: Store) -> None:
    reserved(store, 10.0)
    run = claim(store)
    store(renew_run, run, after(60), 14.0)
    assert store(usage_of, 1, MONTH) == Usage(0.0, 14.0)
    store(end_run, run, "timed_out", "", after(61))
    assert store(usage_of, 1, MONTH).total == 14.0


def test_a_run_that_never_began_costs_nothing(store: Store) -> None:
    store(
        end_run,
        store(
            open_run,
            1,
            7,
            RunRequest(purpose="judge", head_sha="a" * 40, base_model="m/m", recipe={}, label_recipe_id="abc"),
            NOW,
        )[0],
        "out_of_budget",
        "",
        NOW,
    )
    assert store(usage_of, 1, MONTH).total == 0.0


def test_a_removed_repository_leaves_its_minutes_with_its_installation(store: Store) -> None:
    reserved(store, 30.0)
    finish(store, 12.0)
    reserved(store, 9.0, head="b")
    store(delete_repository, 1, 7)
    assert store(usage_of, 1, MONTH) == Usage(21.0, 0.0)
    store(save_repository, repository(7, 1))
    reserved(store, 4.0)
    assert store(usage_of, 1, MONTH) == Usage(21.0, 4.0)


def test_a_removed_installation_leaves_its_minutes_with_the_server(store: Store) -> None:
    reserved(store, 30.0)
    reserved(store, 5.0, repository_id=8)
    reserved(store, 7.0, installation_id=2)
    store(delete_repository, 1, 8)
    store(delete_installation, 1)
    assert store(usage_of, 1, MONTH) == Usage(0.0, 0.0)
    assert store(usage_of_all, MONTH) == Usage(35.0, 7.0)
    assert store(load_budget, 1) is None


def test_what_each_repository_has_spent_is_summed_over_all_its_runs(store: Store) -> None:
    reserved(store, 60.0)
    finish(store, 12.5)
    reserved(store, 60.0, head="b")
    store(renew_run, claim(store), after(60), 7.0)  # at work
    reserved(store, 60.0, repository_id=8)  # queued: nothing spent yet
    reserved(store, 60.0, installation_id=2)
    store(end_run, claim(store), "crashed", "", after(1))
    assert store(spent_by_repository) == {(1, 7): 19.5, (1, 8): 0.0, (2, 7): 0.0}


def test_pausing_and_the_ceiling_are_remembered_for_all_workers(store: Store) -> None:
    assert store(load_gpu_state) == GpuState()
    store(save_gpu_state, GpuState("the rack is being moved", 1_000.0))
    assert store(load_gpu_state) == GpuState("the rack is being moved", 1_000.0)


def test_gpu_workers_are_stored_by_name_and_listed_by_last_contact(store: Store) -> None:
    for name, seconds in (("one", 0), ("two", 5), ("one", 9)):
        store(note_gpu_worker, GpuWorker(name, "NVIDIA H100", 1e15, after(seconds)))
    assert [(worker.name, worker.seen_at) for worker in store(list_gpu_workers)] == [
        ("one", after(9)),
        ("two", after(5)),
    ]
    assert store(forget_gpu_workers, after(6)) == 1
    assert [worker.name for worker in store(list_gpu_workers)] == ["one"]


def waiting(store: Store, installation_id: int, repository_id: int) -> Run:
    request = RunRequest(purpose="judge", head_sha=HEAD, base_model="acme/coder", recipe={}, label_recipe_id="abc")
    return store(open_run, installation_id, repository_id, request, NOW)[0]


async def reserves(store: Store, run: Run, minutes: float) -> bool:
    """As the job does: in one transaction, or not at all."""
    try:
        async with store.database.write() as connection:
            await lock_reservations(connection)
            await reserve(connection, run, minutes, NOW)
            month = month_of(NOW)
            return await queue_run(connection, run, pair_set_id="f" * 64, minutes=minutes, month=month, now=NOW)
    except EndRun:
        return False


def all_at_once(store: Store, runs: list[Run], minutes: float) -> int:
    async def race() -> list[bool]:
        return await asyncio.gather(*(reserves(store, run, minutes) for run in runs))

    return sum(store.run(race()))


def test_concurrent_reservations_never_overdraw_a_budget(store: Store) -> None:
    runs = [waiting(store, 1, repository_id) for repository_id in range(7, 15)]
    assert all_at_once(store, runs, 30.0) == 3
    assert store(usage_of, 1, month_of(NOW)) == Usage(0.0, 90.0)


def test_concurrent_installations_never_overdraw_the_server(store: Store) -> None:
    store(save_gpu_state, GpuState(ceiling_minutes=100.0))
    runs = [waiting(store, number, repository_id) for repository_id in range(7, 11) for number in (1, 2)]
    assert all_at_once(store, runs, 30.0) == 3
    assert store(usage_of_all, month_of(NOW)) == Usage(0.0, 90.0)


def test_results_of_a_model_come_newest_first_from_every_installation(store: Store) -> None:
    def finish(run: Run, result: dict[str, Any] | None) -> None:
        month = month_of(NOW)
        store(queue_run, run, pair_set_id="f" * 64, minutes=1.0, month=month, now=NOW)
        held = store(claim_run, "gpu", NOW, NOW, lease_s=60)
        assert held is not None
        store(finish_run, held, "finished", "", NOW, spent_minutes=1.0, result=result)
        assert store(load_run, run.installation_id, run.run_id) is not None

    for number, result in ((1, {"n": 1}), (2, {"n": 2}), (1, None)):
        finish(waiting(store, number, 7), result)
    assert store(newest_results, "acme/coder", 5) == [{"n": 2}, {"n": 1}]
    assert store(newest_results, "acme/coder", 1) == [{"n": 2}]
    assert store(newest_results, "acme/other", 5) == []
