"""Screenings are kept, the newest is found, and the repository remembers how it went."""

from __future__ import annotations

from typing import Any

import pytest

from bot.records import StoredScreening
from bot.store.budgets import set_budget
from bot.store.installations import save_installation
from bot.store.repositories import delete_repository, load_repository, save_repository
from bot.store.runs import RunRequest, claim_run, finish_run, open_run, queue_run, runs_of
from bot.store.screenings import (
    drop_ranking,
    forget_rankings,
    load_screening,
    newest_measured,
    newest_screening,
    save_ranking,
    save_screening,
    verdict_figures,
)
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository

MEASUREMENT = {"density": {"value": 0.0412, "pairs": 812}, "notes": ["“ü”", None, True], "seconds": 1.5}
RUN, SKIP = {"verdict": "RUN", "reasons": ["because"]}, {"verdict": "SKIP"}
BY_ADAPTER = {"scorer": "adapter"}


@pytest.fixture
def store(store: Store) -> Store:
    store(save_installation, installation(), NOW)
    for repository_id in (7, 8, 9):
        store(save_repository, repository(repository_id))
    store(save_installation, installation(2), NOW)
    store(save_repository, repository(7, 2))
    return store


def measured(store: Store, repository_id: int, judgement: dict, head: str = HEAD, at_s: float = 0) -> int:
    return store(save_screening, 1, repository_id, head, after(at_s), MEASUREMENT, judgement, "", "r1", "c1")


def failed(store: Store, repository_id: int, failure: str, at_s: float = 0) -> int:
    return store(save_screening, 1, repository_id, NEXT, after(at_s), {}, {}, failure, "r1", "")


def test_a_screening_comes_back_as_it_was_saved(store: Store) -> None:
    screening_id = measured(store, 7, RUN)
    expected = StoredScreening(screening_id, 1, 7, HEAD, NOW, MEASUREMENT, RUN, "", "r1", "c1")
    assert store(load_screening, 1, screening_id) == expected
    assert store(newest_screening, 1, 7) == store(newest_measured, 1, 7) == expected
    assert store(newest_screening, 1, 8) is None
    assert store(load_screening, 1, screening_id + 1) is None


RANKING = {"scorer": "baseline", "functions": [{"path": "src/“ü”.py", "reasons": ["23 lines"]}], "files": []}


def ranked(store: Store, repository_id: int, ranking: dict | None = RANKING) -> int:
    return store(save_screening, 1, repository_id, HEAD, NOW, MEASUREMENT, SKIP, "", "r1", "", ranking)


def test_a_ranking_comes_back_as_it_was_saved(store: Store) -> None:
    stored = store(load_screening, 1, ranked(store, 7))
    assert stored is not None
    assert stored.ranking == RANKING
    assert store(newest_screening, 1, 7) == stored


def test_a_screening_without_a_ranking_has_none(store: Store) -> None:
    stored = store(load_screening, 1, measured(store, 7, RUN))
    assert stored is not None
    assert stored.ranking is None


@pytest.mark.parametrize("ranking", [None, {"scorer": "another"}])
def test_an_old_ranking_goes_when_a_newer_screening_comes_and_no_other_goes(store: Store, ranking: dict | None) -> None:
    old, of_another = ranked(store, 7), ranked(store, 8)
    new = ranked(store, 7, ranking)
    kept = {number: store(load_screening, 1, number).ranking for number in (old, of_another, new)}  # type: ignore[union-attr]
    assert kept == {old: None, of_another: RANKING, new: ranking}


def test_a_ranking_that_may_not_be_shown_any_more_is_dropped_once(store: Store) -> None:
    dropped, of_another = ranked(store, 7), ranked(store, 8)
    assert [store(drop_ranking, 1, 7), store(drop_ranking, 1, 7), store(drop_ranking, 1, 9)] == [True, False, False]
    kept = store(load_screening, 1, dropped)
    assert kept is not None
    assert (kept.ranking, kept.measurement) == (None, MEASUREMENT)
    assert store(load_screening, 1, of_another).ranking == RANKING  # type: ignore[union-attr]


def test_a_failure_drops_the_old_ranking(store: Store) -> None:
    old = ranked(store, 7)
    failed(store, 7, "too large")
    assert store(load_screening, 1, old).ranking is None  # type: ignore[union-attr]


def test_a_ranking_is_deleted_with_its_repository(store: Store) -> None:
    screening_id = ranked(store, 7)
    store(delete_repository, 1, 7)
    assert store(load_screening, 1, screening_id) is None


def test_a_failure_is_the_newest_screening_but_not_the_newest_measured(store: Store) -> None:
    first = measured(store, 7, RUN)
    last = failed(store, 7, "the clone is over 4 GB", at_s=60)
    newest, kept = store(newest_screening, 1, 7), store(newest_measured, 1, 7)
    assert newest is not None
    assert kept is not None
    assert (newest.screening_id, newest.failure, kept.screening_id) == (last, "the clone is over 4 GB", first)


def test_the_repository_stores_the_time_and_failure_of_a_screening(store: Store) -> None:
    for at_s, error in ((10, "crashed"), (20, "")):
        store(save_screening, 1, 7, HEAD, after(at_s), {}, {}, error, "r1", "")
        memory = store(load_repository, 1, 7)
        assert memory is not None
        assert (memory.measured_at, memory.last_error) == (after(at_s), error)


def test_repositories_are_counted_by_their_newest_verdict(store: Store) -> None:
    assert store(verdict_figures) == {}
    measured(store, 7, SKIP)
    measured(store, 7, RUN)
    measured(store, 8, RUN)
    failed(store, 9, "crashed")
    assert store(verdict_figures) == {"RUN": 2, "failed": 1}


def screened(store: Store, head_sha: str, failure: str = "", installation_id: int = 1) -> Any:
    values: dict[str, Any] = {"measurement": {}, "judgement": {}, "label_recipe_id": "l", "config_hash": ""}
    return store(
        save_screening, installation_id, 7, head_sha, NOW, failure=failure, ranking={"scorer": "baseline"}, **values
    )


def ranking(store: Store, number: Any, installation_id: int = 1) -> Any:
    found = store(load_screening, installation_id, number)
    assert found is not None
    return found.ranking


def test_a_ranking_is_stored_with_the_newest_screening_of_its_commit(store: Store) -> None:
    older, newest, others = screened(store, HEAD), screened(store, HEAD), screened(store, HEAD, installation_id=2)
    assert store(save_ranking, 1, 7, HEAD, BY_ADAPTER)
    assert ranking(store, newest) == BY_ADAPTER
    assert ranking(store, older) is None
    assert ranking(store, others, 2) == {"scorer": "baseline"}


@pytest.mark.parametrize(("head_sha", "failure"), [(NEXT, ""), (HEAD, "too large")])
def test_another_commit_or_a_failure_gets_no_ranking(store: Store, head_sha: str, failure: str) -> None:
    screened(store, HEAD)
    newest = screened(store, head_sha, failure)
    assert not store(save_ranking, 1, 7, HEAD, BY_ADAPTER)
    assert ranking(store, newest) == {"scorer": "baseline"}


def test_without_a_screening_a_ranking_is_not_stored(store: Store) -> None:
    assert not store(save_ranking, 1, 7, HEAD, BY_ADAPTER)


def test_rankings_of_runs_are_deleted_and_the_rest_of_their_results_stays(store: Store) -> None:
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
