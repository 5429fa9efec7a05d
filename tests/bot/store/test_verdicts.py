"""Current verdicts, and another verdict on the same measurement."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store.installations import save_installation
from bot.store.repositories import load_repository, note_history_changed, save_repository
from bot.store.screenings import load_screening, newest_screening, save_screening
from bot.store.verdicts import Standing, judge_again, lock_newest, standing_verdicts
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, after, installation, repository

RUN, SKIP = {"verdict": "RUN", "measurable": True}, {"verdict": "SKIP", "measurable": True}


@pytest.fixture
def store(store: Store) -> Store:
    for installation_id in (1, 2):
        store(save_installation, installation(installation_id), NOW)
        for repository_id in (7, 8, 9):
            store(save_repository, repository(repository_id, installation_id))
    return store


def measured(store: Store, repository_id: int, density: float | None, judgement: Any, installation_id: int = 1) -> int:
    of_it = {"density": None if density is None else {"value": density}}
    ids = installation_id, repository_id
    return store(save_screening, *ids, HEAD, NOW, of_it, judgement, "", "r1", "c1", {"scorer": "baseline"})


def test_the_current_verdict_is_the_newest_unless_that_failed(store: Store) -> None:
    measured(store, 7, 0.04, SKIP)
    newest = measured(store, 7, 0.051, RUN)
    none = measured(store, 8, None, {"verdict": "SKIP", "measurable": False})
    measured(store, 9, 0.04, RUN)
    store(save_screening, 1, 9, HEAD, after(9), {}, {}, "crashed", "r1", "")
    measured(store, 7, 0.9, RUN, installation_id=2)
    assert store(standing_verdicts, 1) == [
        Standing(7, newest, "r1", 0.051, True, "RUN"),
        Standing(8, none, "r1", None, False, "SKIP"),
    ]


def test_another_verdict_is_a_new_screening_that_takes_the_ranking_over(
    store: Store,
) -> None:
    first = measured(store, 7, 0.05, RUN)
    screening = store(lock_newest, 1, 7)
    assert screening is not None
    second = store(judge_again, 1, screening, SKIP)
    old, new = store(load_screening, 1, first), store(newest_screening, 1, 7)
    assert old is not None
    assert new is not None
    assert (old.judgement, old.ranking) == (RUN, None)
    assert (new.screening_id, new.judgement, new.ranking) == (second, SKIP, {"scorer": "baseline"})
    assert (new.measurement, new.measured_at, new.head_sha, new.config_hash) == (old.measurement, NOW, HEAD, "c1")


def test_judging_again_is_no_measurement(store: Store) -> None:
    """A changed history still asks for one, and an error is still remembered."""
    measured(store, 7, 0.05, RUN)
    store(note_history_changed, 1, 7)
    before = store(load_repository, 1, 7)
    screening = store(lock_newest, 1, 7)
    assert screening is not None
    store(judge_again, 1, screening, SKIP)
    assert store(load_repository, 1, 7) == before
    assert before is not None
    assert before.history_changed


def test_a_deleted_repository_has_no_newest_screening(store: Store) -> None:
    assert store(lock_newest, 1, 99) is None
