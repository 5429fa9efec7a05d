"""What GitHub says of a repository changes; what we remember of it stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.records import RepositoryMemory
from bot.store.installations import save_installation
from bot.store.repositories import (
    all_repositories,
    find_repository,
    finish_push_burst,
    list_repositories,
    load_repository,
    note_error,
    note_history_changed,
    note_push,
    note_suites_off,
    save_repository,
)
from bot.store.screenings import save_screening
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository


@pytest.fixture
def store(store: Store) -> Store:
    for installation_id in (1, 2):
        store(save_installation, installation(installation_id), NOW)
    store(save_repository, repository())
    return store


def memory(store: Store) -> RepositoryMemory:
    found = store(load_repository, 1, 7)
    assert found is not None
    return found


def screened(store: Store, head_sha: str, failure: str = "") -> None:
    store(save_screening, 1, 7, head_sha, after(99), {}, {}, failure, "r1", "c1")


def test_a_new_repository_has_no_memory(store: Store) -> None:
    assert memory(store) == RepositoryMemory(repository())
    assert store(load_repository, 1, 8) is None
    assert store(load_repository, 2, 7) is None


def test_the_memory_survives_a_rename(store: Store) -> None:
    store(note_push, 1, 7, HEAD, True, NOW)
    store(note_suites_off, 1, 7)
    store(note_error, 1, 7, "no space left")
    before = memory(store)
    assert (before.suites_off, before.last_error, before.pushed_head) == (True, "no space left", HEAD)
    renamed = repository(full_name="acme/renamed", default_branch="trunk", private=True, archived=True)
    store(save_repository, renamed)
    assert memory(store) == replace(before, repository=renamed)


def test_repositories_are_listed_by_installation_and_all_by_name(store: Store) -> None:
    store(save_repository, repository(5, full_name="Acme-1/aaa"))
    store(save_repository, repository(7, 2))
    assert [one.repository.repository_id for one in store(list_repositories, 1)] == [5, 7]
    names = [one.repository.full_name for one in store(all_repositories)]
    assert names == ["Acme-1/aaa", "acme-1/shop-7", "acme-2/shop-7"]


def test_a_repository_is_found_by_its_name_in_any_case(store: Store) -> None:
    assert store(find_repository, "ACME-1/Shop-7") == memory(store)
    for nothing in ("acme-1/shop", "acme-1/shop-%", "", "' OR 1=1 --"):
        assert store(find_repository, nothing) is None


def test_of_two_repositories_with_a_name_the_one_measured_last_is_found(store: Store) -> None:
    store(save_repository, repository(9, full_name="acme-1/shop-7"))
    screened(store, HEAD)
    found = store(find_repository, "acme-1/shop-7")
    assert found is not None
    assert found.repository.repository_id == 7


# Pushes


def test_a_burst_begins_with_its_first_push_and_names_its_last(store: Store) -> None:
    store(note_push, 1, 7, HEAD, False, NOW)
    store(note_push, 1, 7, NEXT, False, after(30))
    now = memory(store)
    assert (now.push_burst_since, now.pushed_at, now.pushed_head) == (NOW, after(30), NEXT)
    assert not now.history_changed


def test_a_burst_ends_when_its_last_push_is_answered(store: Store) -> None:
    store(note_push, 1, 7, NEXT, False, NOW)
    store(finish_push_burst, 1, 7, HEAD)
    assert memory(store).push_burst_since == NOW
    store(finish_push_burst, 1, 7, NEXT)
    assert memory(store).push_burst_since is None
    store(note_push, 1, 7, HEAD, False, after(60))
    assert memory(store).push_burst_since == after(60)


def test_a_forced_push_changes_history_until_its_head_is_measured(store: Store) -> None:
    store(note_push, 1, 7, HEAD, True, NOW)
    store(note_push, 1, 7, NEXT, False, after(1))
    assert memory(store).history_changed
    screened(store, HEAD)
    assert memory(store).history_changed, "the measurement began before the newest push"
    screened(store, NEXT, failure="it crashed")
    assert memory(store).history_changed, "nothing was measured"
    screened(store, NEXT)
    assert not memory(store).history_changed


def test_another_default_branch_changes_history_and_drops_pushes_to_the_old_one(store: Store) -> None:
    store(note_push, 1, 7, HEAD, False, NOW)
    store(note_history_changed, 1, 7)
    assert (memory(store).history_changed, memory(store).pushed_head) == (True, "")
    assert memory(store).push_burst_since == NOW
    screened(store, NEXT)
    store(finish_push_burst, 1, 7, NEXT)
    assert not memory(store).history_changed
    assert memory(store).push_burst_since is None


def test_a_note_on_a_deleted_repository_does_nothing(store: Store) -> None:
    store(note_push, 1, 99, HEAD, True, NOW)
    store(note_error, 1, 99, "late")
    assert store(load_repository, 1, 99) is None
