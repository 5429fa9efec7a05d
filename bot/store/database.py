"""The one pool of connections of a process, and its transactions. The same code runs on SQLite and on PostgreSQL.

SQLite: one writer at a time, decided at the transaction's begin, so that nobody finds out at its end; a commit is on
the disk when it returns. PostgreSQL: READ COMMITTED, where callers lock the rows that they decide on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Engine, NullPool, StaticPool, create_engine, event, text
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from bot.store.errors import StoreFull, StoreUnavailable, translate, unavailable
from bot.store.sqlite_writers import WritersTurn
from bot.store.urls import normal_url, parse, path_of
from pipeline.records import AssayError

__all__ = ["Connection", "Database", "StoreFull", "StoreUnavailable", "make_engine", "normal_url"]

WAIT_S: Final = 30  # for another's transaction, and for a free connection
_CONNECT_S: Final = 10
_THREAD_ENDS_S: Final = 0.05  # aiosqlite leaves the thread of a connection that failed behind, and it wants our loop
_COMMON: Final[dict[str, Any]] = {
    "json_serializer": functools.partial(json.dumps, allow_nan=False, separators=(",", ":")),
    "hide_parameters": True,  # they may name what is private
}
_COMMAND_S: Final = 60  # without an answer the server counts as gone
T = TypeVar("T")

Connection = AsyncConnection  # what functions of other rooms take, so that only bot/store imports sqlalchemy


class Database:
    """Made by `Database.open`; one per process, used from one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(assay_begin="BEGIN IMMEDIATE")
        path = path_of(engine.url)
        self._turn = None if path is None else WritersTurn(path, WAIT_S)
        self._thread = None if path is None else _WritingThread(path)

    @classmethod
    async def open(cls, url: str, *, size: int = 5) -> Database:
        """Connect once, to see that it can be done. Raises StoreUnavailable; AssayError where `url` is none."""
        database = cls(make_engine(url, size=size))
        try:
            await database.ping()
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def dialect(self) -> str:
        """sqlite or postgresql."""
        return self._reading.dialect.name

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is rolled back at its end. Raises StoreUnavailable where the database cannot be used."""
        async with _transaction(self._reading, commit=False) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed on leaving, rolled back on any error. On SQLite it is the only one that writes.

        Raises StoreUnavailable where the database cannot be used, its subclass StoreFull where its disk is full. Where
        a commit is cut off (the server dies meanwhile) it may have been done nevertheless.
        """
        turn = self._turn or contextlib.nullcontext()
        async with turn, _transaction(self._writing, commit=True) as connection:
            yield connection

    async def write_in_one_go(self, work: Callable[[SyncConnection], T]) -> T:
        """`write` for what is called so often that it counts: `work` is given a connection that does not wait.

        On SQLite all of it runs in a thread, which is one hop there and back instead of two for each statement.
        """
        if self._turn is None or self._thread is None:
            async with self.write() as connection:
                return await connection.run_sync(work)
        async with self._turn:
            done = self._thread.begin(work)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait([done])  # the turn is kept as long as it writes
                raise

    async def ping(self) -> None:
        """Ask it something. Raises StoreUnavailable."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._reading.dispose()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.close)
        if self._turn is not None:
            self._turn.close()


class _WritingThread:
    """A thread with a connection of its own to a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "store")
        self._engine: Engine | None = None

    def begin(self, work: Callable[[SyncConnection], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, self._write, work)

    def close(self) -> None:
        """Wait for what is being written, and close the connection where it was opened: in its thread."""
        if self._engine is not None:
            self._executor.submit(self._engine.dispose)
        self._executor.shutdown()

    def _write(self, work: Callable[[SyncConnection], T]) -> T:
        if self._engine is None:
            self._engine = _make_plain_engine(self._path)
        with self._engine.begin() as connection:
            return work(connection)


def _make_plain_engine(path: Path) -> Engine:
    """The same as `make_engine` makes, for one thread without an event loop."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args=_connect_args(path), poolclass=StaticPool, **_COMMON
    ).execution_options(assay_begin="BEGIN IMMEDIATE")
    event.listen(engine, "handle_error", translate)
    event.listen(engine, "connect", functools.partial(_set_up_sqlite, foreign_keys=True))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def make_engine(url: str, *, size: int = 5, migrating: bool = False) -> AsyncEngine:
    """`migrating`: without a pool, and on SQLite without foreign keys, since a table that is altered is rebuilt."""
    parsed = parse(url)
    path = path_of(parsed)
    pool: dict[str, Any] = {"poolclass": NullPool} if migrating else _pool(size)
    try:
        engine = create_async_engine(
            parsed,
            connect_args=_connect_args(path),
            **_COMMON,
            pool_pre_ping=path is None and not migrating,  # a server that was restarted is noticed before it is used
            **pool,
        )
    except ModuleNotFoundError as error:
        raise AssayError(f"PostgreSQL needs the library {error.name}: pip install 'assay[prod]'") from None
    event.listen(engine.sync_engine, "handle_error", translate)
    if path is not None:
        _make_private(path)
        event.listen(engine.sync_engine, "connect", functools.partial(_set_up_sqlite, foreign_keys=not migrating))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        event.listen(engine.sync_engine, "invalidate", _Endings().roll_back_first)
    return engine


def _pool(size: int) -> dict[str, Any]:
    return {"pool_size": size, "max_overflow": 0, "pool_timeout": WAIT_S}


def _connect_args(path: Path | None) -> dict[str, Any]:
    if path is not None:
        return {"timeout": WAIT_S, "isolation_level": None}  # we say BEGIN ourselves
    waits = {"lock_timeout": WAIT_S, "idle_in_transaction_session_timeout": _COMMAND_S}
    settings = {name: f"{seconds}s" for name, seconds in waits.items()}
    return {
        "timeout": _CONNECT_S,
        "command_timeout": _COMMAND_S,
        "server_settings": {"application_name": "assay", "timezone": "UTC", **settings},
    }


def _make_private(path: Path) -> None:
    """An empty file that only its owner can read; SQLite gives its companions the same rights.

    Never opened where it is there: closing it would take SQLite's locks away from this process.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(f"the database {path} cannot be opened: {error.strerror}") from None


def _set_up_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry, *, foreign_keys: bool) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA secure_delete = ON")  # of who uninstalled, nothing stays in free pages either
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()
    except BaseException:
        connection.close()  # the pool would forget it, and its thread would outlive the event loop
        raise


class _Endings:
    """A task that is cancelled in a statement loses its connection; SQLite keeps its lock while a cursor is alive."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()

    def roll_back_first(
        self, connection: DBAPIConnection, entry: ConnectionPoolEntry, error: BaseException | None
    ) -> None:
        ending = asyncio.ensure_future(_roll_back(connection.driver_connection))
        self._tasks.add(ending)
        ending.add_done_callback(self._tasks.discard)


async def _roll_back(connection: Any) -> None:
    with contextlib.suppress(sqlite3.Error, ValueError):  # closed already
        await connection.rollback()


def _begin_sqlite(connection: SyncConnection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("assay_begin", "BEGIN"))


@contextlib.asynccontextmanager
async def _transaction(engine: AsyncEngine, *, commit: bool) -> AsyncIterator[AsyncConnection]:
    connection = await _connect(engine)
    try:
        await connection.begin()
        yield connection
    except BaseException:
        await _to_the_end(_leave(connection, commit=False))
        raise
    await _to_the_end(_leave(connection, commit=commit))


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except (DBAPIError, PoolTimeout, OSError, TimeoutError, StoreUnavailable) as error:
        await asyncio.sleep(_THREAD_ENDS_S)
        raise unavailable(error) or error from None


async def _leave(connection: AsyncConnection, *, commit: bool) -> None:
    """End the transaction and give the connection back to the pool, broken or not."""
    try:
        if commit:
            await connection.commit()
        else:
            with contextlib.suppress(DBAPIError, StoreUnavailable):  # what is broken has nothing to roll back
                await connection.rollback()
    finally:
        with contextlib.suppress(StoreUnavailable):  # said already
            await connection.close()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even where the caller is cancelled meanwhile; the cancellation goes on afterwards.

    A connection that is dropped in the middle of a commit would be lost to the pool.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen
        raise cancelled
    task.result()
