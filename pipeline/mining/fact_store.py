"""What mining remembers of one repository between runs, in one SQLite file of the data directory.

Everything in it can be computed again from the repository, so a file that is broken, locked or cannot be written costs
time and never a result. Facts are keyed by content (object ids), hence valid for every head, window and date.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.mining.history import CommitGraph

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS graph (first INTEGER PRIMARY KEY, name_columns BLOB, number_columns BLOB, parents BLOB);
CREATE TABLE IF NOT EXISTS heads (id BLOB PRIMARY KEY, first_seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stamp (value TEXT NOT NULL);
"""

# Facts that no run asks for any more are dropped once they are this many times the ones still asked for.
_STALE_FACTOR = 2


class FactStore:
    """Facts by key, a commit graph and the time each head was first seen. With `path` None nothing is kept.

    `stamp` names the rules that the facts follow (label recipe); another stamp empties the facts and the graph.
    """

    def __init__(self, path: Path | None, stamp: str) -> None:
        self._facts: dict[bytes, bytes] = {}
        self._new: dict[bytes, bytes] = {}
        self._used: set[bytes] = set()
        self._saved_commits = 0
        self._database = _open(path, stamp) if path else None
        if self._database:
            with contextlib.suppress(sqlite3.Error):
                self._facts = dict(self._database.execute("SELECT key, value FROM facts"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._database:
            self._database.close()

    def get(self, key: bytes) -> bytes | None:
        value = self._facts.get(key)
        if value is not None:
            self._used.add(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        self._facts[key] = value
        self._new[key] = value
        self._used.add(key)

    def save(self, graph: CommitGraph | None = None) -> bool:
        """Write what is new; returns whether that worked (a full disk or a lock is not an error)."""
        if self._database is None:
            return False
        try:
            with self._database as transaction:
                if len(self._facts) > _STALE_FACTOR * len(self._used) + 1000:
                    transaction.execute("DELETE FROM facts")
                    self._new = {key: self._facts[key] for key in self._used}
                transaction.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", sorted(self._new.items()))
                if graph is not None and len(graph) > self._saved_commits:
                    transaction.execute(
                        "INSERT OR REPLACE INTO graph VALUES (?, ?, ?, ?)", _pack(graph, self._saved_commits)
                    )
                    self._saved_commits = len(graph)
        except sqlite3.Error:
            return False
        self._new = {}
        return True

    def load_graph(self) -> CommitGraph:
        graph = CommitGraph()
        if self._database is None:
            return graph
        try:
            rows = self._database.execute("SELECT * FROM graph ORDER BY first").fetchall()
            for first, names, numbers, parents in rows:
                _unpack(graph, first, names, numbers, parents)
        except (sqlite3.Error, ValueError):
            return CommitGraph()
        self._saved_commits = len(graph)
        return graph

    def first_seen(self, head: bytes, now: int | None = None) -> int:
        """When this head was first asked about, in seconds since 1970; that is now the first time."""
        now = int(time.time()) if now is None else now
        if self._database is None:
            return now
        try:
            with self._database as transaction:
                transaction.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (head, now))
            return int(self._database.execute("SELECT first_seen FROM heads WHERE id = ?", (head,)).fetchone()[0])
        except sqlite3.Error:
            return now


def _open(path: Path, stamp: str) -> sqlite3.Connection | None:
    for attempt in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            database = sqlite3.connect(path, timeout=5)
            database.executescript(_SCHEMA)
            with database:
                if database.execute("SELECT value FROM stamp").fetchall() != [(stamp,)]:
                    for table in ("facts", "graph", "stamp"):
                        database.execute(f"DELETE FROM {table}")
                    database.execute("INSERT INTO stamp VALUES (?)", (stamp,))
            return database
        except sqlite3.OperationalError:  # locked, read-only, no room: do without
            return None
        except (sqlite3.DatabaseError, OSError):  # not a database any more: start over once
            with contextlib.suppress(OSError):
                path.unlink()
            if attempt:
                return None
    return None


def _pack(graph: CommitGraph, first: int) -> tuple[int, bytes, bytes, bytes]:
    names = b"".join(graph.ids[first:]) + b"".join(graph.trees[first:])
    numbers = b"".join(
        column[first:].tobytes() for column in (graph.committed_at, graph.author_key, graph.series_key, graph.flags)
    )
    parents = array("i")
    for row in graph.parents[first:]:
        parents.append(len(row))
        parents.extend(row)
    return first, names, numbers, parents.tobytes()


def _unpack(graph: CommitGraph, first: int, names: bytes, numbers: bytes, parents: bytes) -> None:
    count = len(names) // 40
    if first != len(graph) or len(numbers) != count * 25:
        raise ValueError("chunks of the commit graph do not fit together")
    graph.ids.extend(names[at : at + 20] for at in range(0, 20 * count, 20))
    graph.trees.extend(names[at : at + 20] for at in range(20 * count, 40 * count, 20))
    columns = (graph.committed_at, graph.author_key, graph.series_key)
    for number, column in enumerate(columns):
        column.frombytes(numbers[8 * count * number : 8 * count * (number + 1)])
    graph.flags.frombytes(numbers[24 * count :])
    graph.parents.extend(_parent_rows(parents))
    graph.index.update((commit, first + offset) for offset, commit in enumerate(graph.ids[first:]))


def _parent_rows(parents: bytes) -> Iterator[tuple[int, ...]]:
    flat = array("i")
    flat.frombytes(parents)
    at = 0
    while at < len(flat):
        yield tuple(flat[at + 1 : at + 1 + flat[at]])
        at += 1 + flat[at]
