from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pipeline.git.history import CommitGraph
from pipeline.mining.facts.store import FactStore


def graph_of(*names: int) -> CommitGraph:
    graph = CommitGraph()
    for number in names:
        commit = number.to_bytes(20, "big")
        graph.index[commit] = len(graph)
        graph.ids.append(commit)
        graph.trees.append((number + 100).to_bytes(20, "big"))
        graph.parents.append((len(graph) - 2,) if len(graph) > 1 else ())
        graph.committed_at.append(-number)
        graph.author_key.append(2**64 - 1 - number)
        graph.series_key.append(number)
        graph.authored_at.append(graph.committed_at[-1])
        graph.flags.append(number % 2)
    return graph


def test_facts_graph_and_first_seen_times_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "facts.sqlite"
    with FactStore(path, "recipe") as store:
        store.put(b"key", b"value")
        assert store.first_seen(b"head", now=5) == 5
        store.save(graph_of(1, 2))
        store.save(graph_of(1, 2, 3))
    with FactStore(path, "recipe") as store:
        assert store.get(b"key") == b"value"
        assert store.load_graph() == graph_of(1, 2, 3)
        assert store.first_seen(b"head", now=9) == 5


def test_another_stamp_deletes_the_facts_but_not_the_first_seen_times(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "one") as store:
        store.put(b"key", b"value")
        store.first_seen(b"head", now=5)
        store.save(graph_of(1))
    with FactStore(path, "two") as store:
        assert store.get(b"key") is None
        assert len(store.load_graph()) == 0
        assert store.first_seen(b"head", now=9) == 5


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"SQLite format 3\0" + bytes(500)])
def test_an_invalid_database_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "facts.sqlite"
    path.write_bytes(damage)
    with FactStore(path, "recipe") as store:
        store.put(b"key", b"value")
        store.save()
    with FactStore(path, "recipe") as store:
        assert store.get(b"key") == b"value"


def test_an_unwritable_folder_costs_only_the_stored_facts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with FactStore(tmp_path / "file" / "facts.sqlite", "recipe") as store:
        store.put(b"key", b"value")
        assert store.get(b"key") == b"value"
        assert store.first_seen(b"head", now=7) == 7


def test_an_inconsistent_graph_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "recipe") as store:
        store.save(graph_of(1, 2))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE graph SET number_columns = x'00'")
    with FactStore(path, "recipe") as store:
        assert len(store.load_graph()) == 0


def test_unused_facts_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "recipe") as store:
        for number in range(3000):
            store.put(b"%d" % number, b"value")
        store.save()
    with FactStore(path, "recipe") as store:
        assert store.get(b"7") == b"value"
        store.save()
    with FactStore(path, "recipe") as store:
        assert store.get(b"7") == b"value"
        assert store.get(b"8") is None


def test_without_a_path_nothing_is_stored() -> None:
    with FactStore(None, "recipe") as store:
        store.put(b"key", b"value")
        assert store.get(b"key") == b"value"


def test_facts_of_an_interrupted_run_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"

    def break_off() -> None:
        with FactStore(path, "recipe") as store:
            store.put(b"key", b"value")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    with FactStore(path, "recipe") as store:
        assert store.get(b"key") == b"value"


def test_a_store_locked_by_another_process_continues_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "recipe") as store, sqlite3.connect(path) as other:
        store._database.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN EXCLUSIVE")
        store.put(b"key", b"value")
        store.save()
        assert store.get(b"key") == b"value"
        other.rollback()


def test_a_graph_of_another_layout_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A release may add a column: chunks of an older one are not readable, and must not stay beside the new ones."""
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "stamp") as store:
        store.save(graph_of(1, 2))
        grown = graph_of(1, 2, 3)
        store.save(grown)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE graph SET number_columns = substr(number_columns, 1, 25)")
    with FactStore(path, "stamp") as store:
        assert len(store.load_graph()) == 0
        store.save(grown)
    with FactStore(path, "stamp") as store:
        assert store.load_graph().ids == grown.ids
