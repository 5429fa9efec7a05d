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
        graph.flags.append(number % 2)
    return graph


def test_facts_graph_and_first_sights_are_there_the_next_time(tmp_path: Path) -> None:
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


def test_other_rules_empty_the_facts_but_not_the_first_sights(tmp_path: Path) -> None:
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
def test_a_file_that_is_no_database_is_started_over(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "facts.sqlite"
    path.write_bytes(damage)
    with FactStore(path, "recipe") as store:
        store.put(b"key", b"value")
        store.save()
    with FactStore(path, "recipe") as store:
        assert store.get(b"key") == b"value"


def test_a_folder_that_cannot_be_written_costs_the_memory_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with FactStore(tmp_path / "file" / "facts.sqlite", "recipe") as store:
        store.put(b"key", b"value")
        assert store.get(b"key") == b"value"
        assert store.first_seen(b"head", now=7) == 7


def test_a_chunk_of_the_graph_that_does_not_fit_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "recipe") as store:
        store.save(graph_of(1, 2))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE graph SET number_columns = x'00'")
    with FactStore(path, "recipe") as store:
        assert len(store.load_graph()) == 0


def test_facts_that_nobody_asks_for_any_more_are_dropped(tmp_path: Path) -> None:
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


def test_without_a_path_nothing_is_kept() -> None:
    with FactStore(None, "recipe") as store:
        store.put(b"key", b"value")
        assert store.get(b"key") == b"value"


def test_what_was_put_before_a_run_broke_off_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite"

    def break_off() -> None:
        with FactStore(path, "recipe") as store:
            store.put(b"key", b"value")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    with FactStore(path, "recipe") as store:
        assert store.get(b"key") == b"value"


def test_a_store_that_another_process_holds_goes_on_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.sqlite"
    with FactStore(path, "recipe") as store, sqlite3.connect(path) as other:
        store._database.execute("PRAGMA busy_timeout = 1")
        other.execute("BEGIN EXCLUSIVE")
        store.put(b"key", b"value")
        store.save()
        assert store.get(b"key") == b"value"
        other.rollback()
