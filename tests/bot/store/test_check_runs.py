"""A check run has a row before GitHub is called, so that it is found and never written twice."""

from __future__ import annotations

from typing import Any

import pytest

from bot.records import StoredCheckRun
from bot.store.check_runs import (
    create_check_run,
    forget_unposted,
    mark_posted,
    newest_posted,
    posted_as,
    posted_for_run,
    posted_on,
    pressed_check_run,
    unposted_check_runs,
)
from bot.store.installations import save_installation
from bot.store.repositories import load_repository, save_repository
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository

MINE = (1, 7, "assay/screen")
NAME = "assay/finetune"


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
    return store


def make(store: Store, head_sha: str = HEAD) -> StoredCheckRun:
    return store(create_check_run, *MINE, head_sha, 3, "success", NOW)


def test_a_check_run_is_unposted_until_github_has_it(store: Store) -> None:
    made = make(store)
    assert made == StoredCheckRun(made.row_id, 1, 7, "assay/screen", HEAD, 3, 0, "success", NOW, None)
    assert made.external_id == f"assay/screen/{made.row_id}"
    assert store(unposted_check_runs, *MINE) == [made]
    assert store(newest_posted, *MINE) is None
    store(mark_posted, 1, made.row_id, 4711, after(5))
    assert store(unposted_check_runs, *MINE) == []
    posted = store(newest_posted, *MINE)
    assert posted is not None
    assert (posted.row_id, posted.check_run_id, posted.posted_at) == (made.row_id, 4711, after(5))
    memory = store(load_repository, 1, 7)
    assert memory is not None
    assert memory.posted_at == after(5)


def test_the_newest_of_each_kind_is_found_and_other_names_are_not(store: Store) -> None:
    rows = [make(store, head) for head in (HEAD, NEXT, HEAD, NEXT)]
    for row in rows[:2]:
        store(mark_posted, 1, row.row_id, row.row_id * 10, NOW)
    newest = store(newest_posted, *MINE)
    assert newest is not None
    assert newest.row_id == rows[1].row_id
    assert store(unposted_check_runs, *MINE) == [rows[3], rows[2]]
    assert store(unposted_check_runs, 1, 7, "assay/finetune") == []


def test_only_an_unposted_row_is_deleted_and_its_id_is_not_reused(store: Store) -> None:
    posted, unposted = make(store), make(store)
    store(mark_posted, 1, posted.row_id, 4711, NOW)
    for row in (posted, unposted):
        store(forget_unposted, 1, row.row_id)
    assert store(unposted_check_runs, *MINE) == []
    assert store(newest_posted, *MINE) is not None
    assert make(store).row_id > unposted.row_id


def test_a_check_run_is_found_by_githubs_number_in_its_own_repository_alone(store: Store) -> None:
    make(store)  # never posted
    made = store(create_check_run, 1, 7, "assay/finetune", HEAD, 3, "success", NOW)
    store(mark_posted, 1, made.row_id, 4711, NOW)
    found = store(pressed_check_run, 1, 7, 4711)
    assert found is not None
    assert (found.row_id, found.name) == (made.row_id, "assay/finetune")
    others = [(1, 7, 4712), (1, 8, 4711), (2, 7, 4711), (1, 7, 0)]
    assert [store(pressed_check_run, *ids) for ids in others] == [None] * 4


def written(store: Store, head_sha: str = HEAD, run_id: int = 5, *, name: str = NAME, posted: int = 77) -> Any:
    row = store(create_check_run, 1, 7, name, head_sha, 0, "neutral", NOW, run_id=run_id)
    if posted:
        store(mark_posted, 1, row.row_id, posted, NOW)
    return row


def test_the_newest_that_is_posted_is_found_by_its_run_and_by_its_commit(store: Store) -> None:
    written(store)
    newest = written(store)
    written(store, posted=0)
    written(store, name="assay/screen")
    written(store, NEXT, run_id=6)
    for found in (store(posted_for_run, 1, 7, 5), store(posted_on, 1, 7, HEAD)):
        assert found is not None
        assert found.row_id == newest.row_id
    assert store(posted_for_run, 1, 7, 4) is store(posted_on, 1, 7, "c" * 40) is None
    assert store(posted_for_run, 2, 7, 5) is store(posted_on, 2, 7, HEAD) is None


def test_a_check_run_is_found_by_its_external_id(store: Store) -> None:
    row = written(store)
    found = store(posted_as, 1, 7, row.external_id)
    assert found is not None
    assert found.row_id == row.row_id
    assert store(posted_as, 2, 7, row.external_id) is None


def test_a_foreign_external_id_finds_nothing(store: Store) -> None:
    external_ids = [
        "",
        "assay/finetune",
        "assay/finetune/",
        "assay/screen/1",
        "assay/finetune/x",
        "assay/finetune/²",
        f"{NAME}/{'9' * 30}",
    ]
    written(store)
    wrong = [(name, got) for name in external_ids if (got := store(posted_as, 1, 7, name)) is not None]
    assert wrong == []
