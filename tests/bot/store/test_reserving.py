"""Reservations that meet: never more than the budget, never more than the server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.handlers.finetuning.prepare_budget import reserve
from bot.handlers.finetuning.prepare_checks import Ends
from bot.records import GpuState, Run, Usage
from bot.store.budgets import month_of, save_gpu_state, set_budget, usage_of, usage_of_all
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from bot.store.reserving import newest_results, reserve_alone
from bot.store.runs import RunRequest, claim_run, finish_run, load_run, open_run, queue_run
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, installation, repository


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(set_budget, number, 100.0, 1, NOW)
        for repository_id in range(7, 15):
            store(save_repository, repository(repository_id, number))
    return store


def waiting(store: Store, installation_id: int, repository_id: int) -> Run:
    request = RunRequest(purpose="judge", head_sha=HEAD, base_model="acme/coder", recipe={}, label_recipe_id="abc")
    return store(open_run, installation_id, repository_id, request, NOW)[0]


async def reserves(store: Store, run: Run, minutes: float) -> bool:
    """As the job does: in one transaction, or not at all."""
    try:
        async with store.database.write() as connection:
            await reserve_alone(connection)
            await reserve(connection, run, minutes, NOW)
            month = month_of(NOW)
            return await queue_run(connection, run, pair_set_id="f" * 64, minutes=minutes, month=month, now=NOW)
    except Ends:
        return False


def all_at_once(store: Store, runs: list[Run], minutes: float) -> int:
    async def race() -> list[bool]:
        return await asyncio.gather(*(reserves(store, run, minutes) for run in runs))

    return sum(store.run(race()))


def test_many_at_once_never_overdraw_a_budget(store: Store) -> None:
    runs = [waiting(store, 1, repository_id) for repository_id in range(7, 15)]
    assert all_at_once(store, runs, 30.0) == 3
    assert store(usage_of, 1, month_of(NOW)) == Usage(0.0, 90.0)


def test_many_of_several_installations_never_overdraw_the_server(store: Store) -> None:
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
