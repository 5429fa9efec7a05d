from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.git.repository import Repository, open_repository
from pipeline.git.trees import TreeReader
from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.codec import key_for
from pipeline.mining.facts.compute import ChangeRequest, FunctionsRequest
from pipeline.mining.facts.store import FactStore
from pipeline.mining.facts.worker_pool import WorkerPool
from pipeline.mining.miner import is_source
from tests.builders.code import module
from tests.builders.history import History

ABSENT = b"\1" * 20


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    history = History()
    history.commit("start", {"a.py": module("1", "1"), "b.py": module("2", "1")})
    return open_repository(history.write(tmp_path / "history.git"))


@pytest.fixture
def cache(repository: Repository, tmp_path: Path) -> Iterator[FactCache]:
    with (
        FactStore(tmp_path / "facts.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        yield FactCache(store, pool)


@pytest.fixture
def change(repository: Repository) -> ChangeRequest:
    """A change from a.py to b.py as if they were two versions of one file: f0 changes."""
    with repository.reader() as reader:
        tree = bytes.fromhex(reader.commit(repository.head)[5:45].decode())
        files = TreeReader(reader, is_source).files(tree)
    return ChangeRequest(files[b"a.py"], files[b"b.py"], b"a.py", b"a.py", code=False)


def test_a_fact_is_pending_until_it_is_computed(cache: FactCache, change: ChangeRequest) -> None:
    with pytest.raises(FactPending):
        cache.change(change)
    assert cache.pending == 1
    cache.compute_pending()
    assert cache.pending == 0
    assert [key.qualified_name for key in cache.change(change).touched] == ["f0"]


def test_a_more_detailed_fact_replaces_a_cached_one(cache: FactCache, change: ChangeRequest) -> None:
    detailed = change._replace(code=True)
    cache.request_all([change])
    cache.compute_pending()
    assert cache.change(change).code is None
    with pytest.raises(FactPending):
        cache.change(detailed)
    cache.compute_pending()
    assert cache.change(detailed).code is True
    assert cache.change(change).code is True


def test_the_more_detailed_of_two_requests_for_a_fact_is_computed(cache: FactCache, change: ChangeRequest) -> None:
    assert not cache.request_all([change._replace(code=True), change])
    assert cache.pending == 1
    cache.compute_pending()
    assert cache.change(change).code is True


def test_all_missing_facts_of_a_group_are_requested_together(cache: FactCache, change: ChangeRequest) -> None:
    assert change.old is not None
    assert not cache.request_all([change, FunctionsRequest(change.old, b"a.py")])
    assert cache.pending == 2


def test_a_missing_object_is_a_problem_that_is_not_stored(
    cache: FactCache, repository: Repository, tmp_path: Path
) -> None:
    request = FunctionsRequest(ABSENT, b"a.py")
    cache.request_all([request])
    cache.compute_pending()
    assert cache.functions(request).problem
    assert list(cache.problems.values()) == [request]
    with (
        FactStore(tmp_path / "facts.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        assert not FactCache(store, pool).request_all([request])


def test_invalid_bytes_in_the_store_are_recomputed(
    repository: Repository, change: ChangeRequest, tmp_path: Path
) -> None:
    with (
        FactStore(tmp_path / "other.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        store.put(key_for(change), b"")
        cache = FactCache(store, pool)
        assert not cache.request_all([change])
        cache.compute_pending()
        assert cache.request_all([change])
