"""Screenings are kept, the newest is found, and the repository remembers how it went."""

from __future__ import annotations

import pytest

from bot.records import StoredScreening
from bot.store.installations import save_installation
from bot.store.repositories import load_repository, save_repository
from bot.store.screenings import (
    load_screening,
    newest_measured,
    newest_screening,
    save_screening,
    verdict_figures,
)
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository

MEASUREMENT = {"density": {"value": 0.0412, "pairs": 812}, "notes": ["“ü”", None, True], "seconds": 1.5}
RUN, SKIP = {"verdict": "RUN", "reasons": ["because"]}, {"verdict": "SKIP"}


@pytest.fixture
def store(store: Store) -> Store:
    store(save_installation, installation(), NOW)
    for repository_id in (7, 8, 9):
        store(save_repository, repository(repository_id))
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


def test_a_failure_is_the_newest_screening_but_not_the_newest_measured(store: Store) -> None:
    first = measured(store, 7, RUN)
    last = failed(store, 7, "the clone is over 4 GB", at_s=60)
    newest, kept = store(newest_screening, 1, 7), store(newest_measured, 1, 7)
    assert newest is not None
    assert kept is not None
    assert (newest.screening_id, newest.failure, kept.screening_id) == (last, "the clone is over 4 GB", first)


def test_the_repository_remembers_when_and_how_it_went(store: Store) -> None:
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
