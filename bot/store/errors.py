"""Errors of the database that are not bugs: which of them pass by themselves, and what to tell the user.

AssayError
└── StoreUnavailable    gone, locked, timed out, shutting down: a retry may work
    ├── StoreFull       its disk is full
    └── StoreConflict   two transactions conflicted, and this one was aborted: a retry works
"""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.records import AssayError

FULL: Final = "the database's disk is full: free some space on it"

# https://www.sqlite.org/rescode.html: errors of the disk, of locks and of file permissions.
_SQLITE_FULL: Final = 13
_SQLITE_TRANSIENT: Final = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 14, 15, 23, 26})  # PERM, BUSY ... NOTADB
# https://www.postgresql.org/docs/current/errcodes-appendix.html: the class is the first two characters.
_POSTGRES_FULL: Final = "53100"
_POSTGRES_CONFLICTS: Final = ("40001", "40P01")  # not serializable; a deadlock
_POSTGRES_TRANSIENT: Final = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58", "25P03")


class StoreUnavailable(AssayError):
    """The database cannot be used now. The receiver responds 503, a worker retries."""


class StoreFull(StoreUnavailable):
    """Nothing can be written until space is freed."""


class StoreConflict(StoreUnavailable):
    """The transaction was rolled back. This does not count as an attempt of a job."""


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """Return what to raise instead of `error`; None if it is a bug. The text has no host, user, password or value."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return _of_postgres(state)
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("every connection to the database is in use: try again")
    if isinstance(cause, TimeoutError):
        return StoreUnavailable("the database did not respond in time: try again")
    if isinstance(cause, OSError):
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreFull(FULL) if full else StoreUnavailable("the database cannot be reached: is its server running?")
    if isinstance(error, DBAPIError) and (error.connection_invalidated or _is_about_the_connection(cause)):
        return StoreUnavailable("the connection to the database broke: try again")
    return None


def translate(context: ExceptionContext) -> None:
    """Translate errors in SQLAlchemy's `handle_error`, so that callers can tell them from bugs."""
    problem = unavailable(context.sqlalchemy_exception or context.original_exception)
    if problem is None and context.is_disconnect and isinstance(context.original_exception, Exception):
        problem = StoreUnavailable("the connection to the database broke: try again")
    if problem is not None:
        raise problem


def _of_sqlite(error: sqlite3.Error) -> StoreUnavailable | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by aiosqlite: the connection was closed under us
        closed = isinstance(error, sqlite3.OperationalError)
        return StoreUnavailable("the connection to the database broke: try again") if closed else None
    primary = code & 0xFF
    if primary == _SQLITE_FULL:
        return StoreFull(FULL)
    if primary in _SQLITE_TRANSIENT:
        return StoreUnavailable(f"the database cannot be used now: {error}")
    return None


def _of_postgres(state: str) -> StoreUnavailable | None:
    if state == _POSTGRES_FULL:
        return StoreFull(FULL)
    if state in _POSTGRES_CONFLICTS:
        return StoreConflict("two transactions conflicted: try again")
    if state.startswith(_POSTGRES_TRANSIENT):
        return StoreUnavailable(f"the database cannot be used now (PostgreSQL's error {state})")
    return None


def _is_about_the_connection(cause: BaseException | None) -> bool:
    """Return whether asyncpg reports a closed connection, which has no error code."""
    return type(cause).__name__ in ("InterfaceError", "InternalClientError")
