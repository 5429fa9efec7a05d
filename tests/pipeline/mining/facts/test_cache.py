from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.git.repository import Repository, open_repository
from pipeline.git.trees import TreeReader
from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts.cache import FactCache, NotYet
from pipeline.mining.facts.codec import key_for
from pipeline.mining.facts.compute import ChangeWant, FunctionsWant
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
def book(repository: Repository, tmp_path: Path) -> Iterator[FactCache]:
    with (
        FactStore(tmp_path / "facts.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        yield FactCache(store, pool)


@pytest.fixture
def change(repository: Repository) -> ChangeWant:
    """From a.py to b.py as if they were two versions of one file: f0 changes."""
    with repository.reader() as reader:
        tree = bytes.fromhex(reader.commit(repository.head)[5:45].decode())
        files = TreeReader(reader, is_source).files(tree)
    return ChangeWant(files[b"a.py"], files[b"b.py"], b"a.py", b"a.py", code=False)


def test_a_fact_is_not_known_until_the_list_is_worked_off(book: FactCache, change: ChangeWant) -> None:
    with pytest.raises(NotYet):
        book.change(change)
    assert book.wanted == 1
    book.work_off()
    assert book.wanted == 0
    assert [key.qualified_name for key in book.change(change).touched] == ["f0"]


def test_a_deeper_answer_replaces_one_that_was_read_before(book: FactCache, change: ChangeWant) -> None:
    deeper = change._replace(code=True)
    book.knows_all([change])
    book.work_off()
    assert book.change(change).code is None
    with pytest.raises(NotYet):
        book.change(deeper)
    book.work_off()
    assert book.change(deeper).code is True
    assert book.change(change).code is True


def test_of_two_wants_for_one_fact_the_deeper_one_is_computed(book: FactCache, change: ChangeWant) -> None:
    assert not book.knows_all([change._replace(code=True), change])
    assert book.wanted == 1
    book.work_off()
    assert book.change(change).code is True


def test_every_unknown_fact_of_a_group_is_put_on_the_list_at_once(book: FactCache, change: ChangeWant) -> None:
    assert change.old is not None
    assert not book.knows_all([change, FunctionsWant(change.old, b"a.py")])
    assert book.wanted == 2


def test_a_missing_object_is_a_known_problem_that_is_not_remembered(
    book: FactCache, repository: Repository, tmp_path: Path
) -> None:
    want = FunctionsWant(ABSENT, b"a.py")
    book.knows_all([want])
    book.work_off()
    assert book.functions(want).problem
    assert list(book.problems.values()) == [want]
    with (
        FactStore(tmp_path / "facts.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        assert not FactCache(store, pool).knows_all([want])


def test_bytes_in_the_store_that_make_no_sense_are_computed_again(
    repository: Repository, change: ChangeWant, tmp_path: Path
) -> None:
    with (
        FactStore(tmp_path / "other.sqlite", "stamp") as store,
        WorkerPool(repository.object_dir, MESSAGES, 1) as pool,
    ):
        store.put(key_for(change), b"")
        book = FactCache(store, pool)
        assert not book.knows_all([change])
        book.work_off()
        assert book.knows_all([change])
