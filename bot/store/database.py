"""The connection pool of a process and its transactions, the same for SQLite and PostgreSQL.

SQLite: one writer at a time, settled when the transaction begins rather than at commit; a commit is on disk when it
returns. PostgreSQL: READ COMMITTED; callers lock the rows that they decide on.
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

WAIT_S: Final = 30  # for another transaction, and for a free connection
_CONNECT_S: Final = 10
_THREAD_EXIT_S: Final = 0.05  # aiosqlite leaves the thread of a failed connection behind, which needs our loop
_COMMON: Final[dict[str, Any]] = {
    "json_serializer": functools.partial(json.dumps, allow_nan=False, separators=(",", ":")),
    "hide_parameters": True,  # they may contain private names
}
_COMMAND_S: Final = 60  # without a response the server counts as gone
T = TypeVar("T")

Connection = AsyncConnection  # for the signatures of other rooms, so that only bot/store imports sqlalchemy


class Database:
    """Open with `Database.open`; one per process, used from one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(assay_begin="BEGIN IMMEDIATE")
        path = path_of(engine.url)
        self._turn = None if path is None else WritersTurn(path, WAIT_S)
        self._thread = None if path is None else _WritingThread(path)

    @classmethod
    async def open(cls, url: str, *, size: int = 5) -> Database:
        """Open the pool after a test connection. Raises StoreUnavailable, and AssayError for a malformed `url`."""
        database = cls(make_engine(url, size=size))
        try:
            await database.ping()
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._reading.dialect.name

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that is rolled back at its end. Raises StoreUnavailable."""
        async with _transaction(self._reading, commit=False) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits on success and rolls back on any error; on SQLite it is the only writer.

        Raises StoreUnavailable, or its subclass StoreFull if the disk is full. A commit that was interrupted, because
        the server died, may have taken effect.
        """
        turn = self._turn or contextlib.nullcontext()
        async with turn, _transaction(self._writing, commit=True) as connection:
            yield connection

    async def write_in_one_go(self, work: Callable[[SyncConnection], T]) -> T:
        """Run `work` with a synchronous connection in one write transaction; for hot paths.

        On SQLite all of it runs in a thread: one round trip instead of two per statement.
        """
        if self._turn is None or self._thread is None:
            async with self.write() as connection:
                return await connection.run_sync(work)
        async with self._turn:
            done = self._thread.begin(work)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait([done])  # hold the turn while it writes
                raise

    async def ping(self) -> None:
        """Run a trivial query. Raises StoreUnavailable."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._reading.dispose()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.close)
        if self._turn is not None:
            self._turn.close()


class _WritingThread:
    """A thread with its own connection to a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "store")
        self._engine: Engine | None = None

    def begin(self, work: Callable[[SyncConnection], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, self._write, work)

    def close(self) -> None:
        """Wait for the current write, and close the connection in the thread that opened it."""
        if self._engine is not None:
            self._executor.submit(self._engine.dispose)
        self._executor.shutdown()

    def _write(self, work: Callable[[SyncConnection], T]) -> T:
        if self._engine is None:
            self._engine = _create_plain_engine(self._path)
        with self._engine.begin() as connection:
            return work(connection)


def _create_plain_engine(path: Path) -> Engine:
    """Create the synchronous counterpart of `make_engine`, for one thread."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args=_connect_args(path), poolclass=StaticPool, **_COMMON
    ).execution_options(assay_begin="BEGIN IMMEDIATE")
    event.listen(engine, "handle_error", translate)
    event.listen(engine, "connect", functools.partial(_set_up_sqlite, foreign_keys=True))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def make_engine(url: str, *, size: int = 5, migrating: bool = False) -> AsyncEngine:
    """Create the engine. `migrating`: no pool, and on SQLite no foreign keys, because altered tables are rebuilt."""
    parsed = parse(url)
    path = path_of(parsed)
    pool: dict[str, Any] = {"poolclass": NullPool} if migrating else _pool(size)
    try:
        engine = create_async_engine(
            parsed,
            connect_args=_connect_args(path),
            **_COMMON,
            pool_pre_ping=path is None and not migrating,  # detects a restarted server before a connection is used
            **pool,
        )
    except ModuleNotFoundError as error:
        raise AssayError(f"PostgreSQL needs the library {error.name}: pip install 'assay[prod]'") from None
    event.listen(engine.sync_engine, "handle_error", translate)
    if path is not None:
        _make_private(path)
        event.listen(engine.sync_engine, "connect", functools.partial(_set_up_sqlite, foreign_keys=not migrating))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        event.listen(engine.sync_engine, "invalidate", _Rollbacks().roll_back_first)
    return engine


def _pool(size: int) -> dict[str, Any]:
    return {"pool_size": size, "max_overflow": 0, "pool_timeout": WAIT_S}


def _connect_args(path: Path | None) -> dict[str, Any]:
    if path is not None:
        return {"timeout": WAIT_S, "isolation_level": None}  # transactions begin explicitly
    waits = {"lock_timeout": WAIT_S, "idle_in_transaction_session_timeout": _COMMAND_S}
    settings = {name: f"{seconds}s" for name, seconds in waits.items()}
    return {
        "timeout": _CONNECT_S,
        "command_timeout": _COMMAND_S,
        "server_settings": {"application_name": "assay", "timezone": "UTC", **settings},
    }


def _make_private(path: Path) -> None:
    """Create an empty file that only its owner can read; SQLite's other files inherit the mode.

    An existing file is never opened, because closing it would release this process's SQLite locks.
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
        cursor.execute("PRAGMA secure_delete = ON")  # so that no deleted data stays in free pages
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()
    except BaseException:
        connection.close()  # the pool would drop it, and its thread would outlive the event loop
        raise


class _Rollbacks:
    """Roll back connections that a cancelled task lost in a statement, since SQLite holds its lock until then."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()

    def roll_back_first(
        self, connection: DBAPIConnection, entry: ConnectionPoolEntry, error: BaseException | None
    ) -> None:
        task = asyncio.ensure_future(_roll_back(connection.driver_connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
        await _shielded(_leave(connection, commit=False))
        raise
    await _shielded(_leave(connection, commit=commit))


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except (DBAPIError, PoolTimeout, OSError, TimeoutError, StoreUnavailable) as error:
        await asyncio.sleep(_THREAD_EXIT_S)
        raise unavailable(error) or error from None


async def _leave(connection: AsyncConnection, *, commit: bool) -> None:
    """End the transaction and return the connection to the pool, broken or not."""
    try:
        if commit:
            await connection.commit()
        else:
            with contextlib.suppress(DBAPIError, StoreUnavailable):  # a broken connection has nothing to roll back
                await connection.rollback()
    finally:
        with contextlib.suppress(StoreUnavailable):  # reported already
            await connection.close()


async def _shielded(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if the caller is cancelled, and cancel the caller afterwards.

    A connection dropped in the middle of a commit would be lost to the pool.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # retrieved, so that it is not logged as lost
        raise cancelled
    task.result()
