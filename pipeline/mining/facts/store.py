"""Store facts and the commit graph of a repository between runs, in one SQLite file of the data directory.

All content can be recomputed from the repository, so a damaged, locked or unwritable file costs only time: the run then
continues with the same tables in memory. Facts are keyed by content (object ids), hence valid for every head, window
and date. They are written as they are computed, so an interrupted run is not lost.
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

from pipeline.git.history import CommitGraph

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS graph (first INTEGER PRIMARY KEY, name_columns BLOB, number_columns BLOB, parents BLOB);
CREATE TABLE IF NOT EXISTS heads (id BLOB PRIMARY KEY, first_seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stamp (value TEXT NOT NULL);
"""
_GET = "SELECT value FROM facts WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO facts VALUES (?, ?)"

# Unused facts are deleted once there are this many times as many facts as the run uses.
_STALE_FACTOR = 2
_WRITE_BATCH = 4_000  # facts per transaction
_COMMIT_BYTES = 33  # of the numbers of a commit: four columns of eight bytes, and flags


class FactStore:
    """Facts by key, a commit graph, and the time each head was first seen. With `path` None nothing is stored.

    `stamp` identifies the rules of the facts (label recipe). Another stamp deletes the facts and the graph.
    """

    def __init__(self, path: Path | None, stamp: str) -> None:
        self._unwritten: dict[bytes, bytes] = {}
        self._used: set[bytes] = set()
        self._saved_commits = 0
        self._database = (_open(path, stamp) if path else None) or _in_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write()
        self._database.close()

    def get(self, key: bytes) -> bytes | None:
        self._used.add(key)
        value = self._unwritten.get(key)
        if value is None:
            with contextlib.suppress(sqlite3.Error):
                row = self._database.execute(_GET, (key,)).fetchone()
                value = row[0] if row else None
        return value

    def put(self, key: bytes, value: bytes) -> None:
        self._unwritten[key] = value
        self._used.add(key)
        if len(self._unwritten) >= _WRITE_BATCH:
            self._write()

    def save(self, graph: CommitGraph | None = None) -> None:
        """Write new facts and the graph, and delete unused facts."""
        self._write()
        with contextlib.suppress(sqlite3.Error), self._database as transaction:
            if graph is not None and len(graph) > self._saved_commits:
                if not self._saved_commits:  # chunks that could not be read, for example of another layout
                    transaction.execute("DELETE FROM graph")
                chunk = _pack(graph, self._saved_commits)
                transaction.execute("INSERT OR REPLACE INTO graph VALUES (?, ?, ?, ?)", chunk)
                self._saved_commits = len(graph)
            count = transaction.execute("SELECT count(*) FROM facts").fetchone()[0]
            if count > _STALE_FACTOR * len(self._used) + 1000:
                self._delete_unused(transaction)

    def _write(self) -> None:
        rows, self._unwritten = sorted(self._unwritten.items()), {}
        if not rows:
            return
        try:
            with self._database as transaction:
                transaction.executemany(_PUT, rows)
        except sqlite3.Error:  # disk full, or locked for long: continue in memory
            self._database = _in_memory()
            self._database.executemany(_PUT, rows)

    def _delete_unused(self, transaction: sqlite3.Connection) -> None:
        stale = [(key,) for (key,) in transaction.execute("SELECT key FROM facts") if key not in self._used]
        transaction.executemany("DELETE FROM facts WHERE key = ?", stale)

    def load_graph(self) -> CommitGraph:
        """Return the stored commits, an empty graph if they cannot be read."""
        graph = CommitGraph()
        try:
            for row in self._database.execute("SELECT * FROM graph ORDER BY first"):
                _unpack(graph, *row)
        except (sqlite3.Error, ValueError, TypeError):
            return CommitGraph()
        self._saved_commits = len(graph)
        return graph

    def first_seen(self, head: bytes, now: int | None = None) -> int:
        """Return when this head was first seen, in seconds since 1970, recording `now` the first time."""
        now = int(time.time()) if now is None else now
        try:
            with self._database as transaction:
                transaction.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (head, now))
            return int(self._database.execute("SELECT first_seen FROM heads WHERE id = ?", (head,)).fetchone()[0])
        except sqlite3.Error:
            return now


def _in_memory() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.executescript(_SCHEMA)
    return database


def _open(path: Path, stamp: str) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _prepared(sqlite3.connect(path, timeout=5), stamp)
        except sqlite3.OperationalError:  # locked, read-only, no room: do without
            return None
        except (sqlite3.DatabaseError, OSError):  # not a database any more: start over once
            with contextlib.suppress(OSError):
                path.unlink()
    return None


def _prepared(database: sqlite3.Connection, stamp: str) -> sqlite3.Connection:
    database.execute("PRAGMA synchronous = OFF")  # data lost in a power cut is recomputed
    database.executescript(_SCHEMA)
    with database:
        if database.execute("SELECT value FROM stamp").fetchall() != [(stamp,)]:
            for table in ("facts", "graph", "stamp"):
                database.execute(f"DELETE FROM {table}")
            database.execute("INSERT INTO stamp VALUES (?)", (stamp,))
    return database


def _wide_columns(graph: CommitGraph) -> tuple[array[int], ...]:
    """Return the columns of eight bytes."""
    return graph.committed_at, graph.author_key, graph.series_key, graph.authored_at


def _pack(graph: CommitGraph, first: int) -> tuple[int, bytes, bytes, bytes]:
    names = b"".join(graph.ids[first:]) + b"".join(graph.trees[first:])
    columns = (*_wide_columns(graph), graph.flags)
    numbers = b"".join(column[first:].tobytes() for column in columns)
    parents = array("i")
    for row in graph.parents[first:]:
        parents.append(len(row))
        parents.extend(row)
    return first, names, numbers, parents.tobytes()


def _unpack(graph: CommitGraph, first: int, names: bytes, numbers: bytes, parents: bytes) -> None:
    count = len(names) // 40
    if first != len(graph) or len(numbers) != count * _COMMIT_BYTES:
        raise ValueError("inconsistent chunks of the commit graph")
    graph.ids.extend(names[at : at + 20] for at in range(0, 20 * count, 20))
    graph.trees.extend(names[at : at + 20] for at in range(20 * count, 40 * count, 20))
    for number, column in enumerate(_wide_columns(graph)):
        column.frombytes(numbers[8 * count * number : 8 * count * (number + 1)])
    graph.flags.frombytes(numbers[(_COMMIT_BYTES - 1) * count :])
    graph.parents.extend(_parent_rows(parents))
    graph.index.update((commit, first + offset) for offset, commit in enumerate(graph.ids[first:]))


def _parent_rows(parents: bytes) -> Iterator[tuple[int, ...]]:
    flat = array("i")
    flat.frombytes(parents)
    at = 0
    while at < len(flat):
        yield tuple(flat[at + 1 : at + 1 + flat[at]])
        at += 1 + flat[at]
