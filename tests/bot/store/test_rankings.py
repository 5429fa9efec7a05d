"""A ranking takes its place beside the newest screening, and beside no other."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store.budgets import set_budget
from bot.store.installations import save_installation
from bot.store.rankings import forget_rankings, save_ranking
from bot.store.repositories import save_repository
from bot.store.runs import RunRequest, claim_run, finish_run, open_run, queue_run, runs_of
from bot.store.screenings import load_screening, save_screening
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, installation, repository

RANKING = {"scorer": "adapter"}


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
    return store


def screened(store: Store, head_sha: str, failure: str = "", installation_id: int = 1) -> Any:
    values: dict[str, Any] = {"measurement": {}, "judgement": {}, "label_recipe_id": "l", "config_hash": ""}
    return store(
        save_screening, installation_id, 7, head_sha, NOW, failure=failure, ranking={"scorer": "baseline"}, **values
    )


def ranking(store: Store, number: Any, installation_id: int = 1) -> Any:
    found = store(load_screening, installation_id, number)
    assert found is not None
    return found.ranking


def test_the_newest_screening_of_that_commit_gets_it(store: Store) -> None:
    older, newest, others = screened(store, HEAD), screened(store, HEAD), screened(store, HEAD, installation_id=2)
    assert store(save_ranking, 1, 7, HEAD, RANKING)
    assert ranking(store, newest) == RANKING
    assert ranking(store, older) is None
    assert ranking(store, others, 2) == {"scorer": "baseline"}


@pytest.mark.parametrize(("head_sha", "failure"), [(NEXT, ""), (HEAD, "too large")])
def test_another_commit_or_a_failure_gets_none(store: Store, head_sha: str, failure: str) -> None:
    screened(store, HEAD)
    newest = screened(store, head_sha, failure)
    assert not store(save_ranking, 1, 7, HEAD, RANKING)
    assert ranking(store, newest) == {"scorer": "baseline"}


def test_where_nothing_was_screened_there_is_no_place_for_it(store: Store) -> None:
    assert not store(save_ranking, 1, 7, HEAD, RANKING)


def test_what_runs_ranked_is_forgotten_and_what_they_were_judged_by_stays(store: Store) -> None:
    for number in (1, 2):
        store(set_budget, number, 100.0, 1, NOW)
        request = RunRequest(
            purpose="refit", head_sha=HEAD, base_model="acme/coder", recipe={}, label_recipe_id="l", judged_run_id=1
        )
        run, _ = store(open_run, number, 7, request, NOW)
        store(queue_run, run, pair_set_id="f" * 64, minutes=1.0, month="2024-05", now=NOW)
    for _ in range(2):
        held = store(claim_run, "gpu-1", NOW, NOW, lease_s=60.0)
        assert held is not None
        result = {"shortlist": {"functions": ["secret"]}, "seconds": 3}
        store(finish_run, held, "finished", "", NOW, spent_minutes=1.0, result=result)
    store(forget_rankings, 1, 7)
    assert [run.result for run in store(runs_of, 1, 7)] == [{"seconds": 3}]
    assert [run.result for run in store(runs_of, 2, 7)] == [{"shortlist": {"functions": ["secret"]}, "seconds": 3}]
