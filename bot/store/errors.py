"""When the database is at fault and not we: which errors pass by themselves, and what to say of them.

AssayError
└── StoreUnavailable    gone, locked, timed out, shutting down: the same may work later
    ├── StoreFull       no room left on its disk
    └── StoreConflict   two transactions were in each other's way, and this one had to give in: the same works now
"""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.records import AssayError

FULL: Final = "the database's disk is full: free some room on it"

# https://www.sqlite.org/rescode.html: what a disk, a lock or the file's owner decide.
_SQLITE_FULL: Final = 13
_SQLITE_PASSING: Final = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 14, 15, 23, 26})  # PERM, BUSY ... NOTADB
# https://www.postgresql.org/docs/current/errcodes-appendix.html: the class is the first two characters.
_POSTGRES_FULL: Final = "53100"
_POSTGRES_CONFLICTS: Final = ("40001", "40P01")  # not serializable; a deadlock
_POSTGRES_PASSING: Final = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58", "25P03")


class StoreUnavailable(AssayError):
    """The database cannot be used now. A receiver answers 503, a worker tries again."""


class StoreFull(StoreUnavailable):
    """Nothing can be written until somebody makes room."""


class StoreConflict(StoreUnavailable):
    """Nothing of the transaction was written. It is nobody's fault, so no attempt of a job."""


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """What to raise instead of `error`; None where it is a mistake of ours. Names no host, user, password or value."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return _of_postgres(state)
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("every connection to the database is in use: try again")
    if isinstance(cause, TimeoutError):
        return StoreUnavailable("the database does not answer in time: try again")
    if isinstance(cause, OSError):
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreFull(FULL) if full else StoreUnavailable("the database cannot be reached: is its server running?")
    if isinstance(error, DBAPIError) and (error.connection_invalidated or _is_about_the_connection(cause)):
        return StoreUnavailable("the connection to the database broke: try again")
    return None


def translate(context: ExceptionContext) -> None:
    """For SQLAlchemy's `handle_error`: raise what our callers can tell from a bug."""
    problem = unavailable(context.sqlalchemy_exception or context.original_exception)
    if problem is None and context.is_disconnect and isinstance(context.original_exception, Exception):
        problem = StoreUnavailable("the connection to the database broke: try again")
    if problem is not None:
        raise problem


def _of_sqlite(error: sqlite3.Error) -> StoreUnavailable | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # aiosqlite's own: the connection was closed under us
        closed = isinstance(error, sqlite3.OperationalError)
        return StoreUnavailable("the connection to the database broke: try again") if closed else None
    primary = code & 0xFF
    if primary == _SQLITE_FULL:
        return StoreFull(FULL)
    if primary in _SQLITE_PASSING:
        return StoreUnavailable(f"the database cannot be used now: {error}")
    return None


def _of_postgres(state: str) -> StoreUnavailable | None:
    if state == _POSTGRES_FULL:
        return StoreFull(FULL)
    if state in _POSTGRES_CONFLICTS:
        return StoreConflict("two transactions were in each other's way: try again")
    if state.startswith(_POSTGRES_PASSING):
        return StoreUnavailable(f"the database cannot be used now (PostgreSQL's error {state})")
    return None


def _is_about_the_connection(cause: BaseException | None) -> bool:
    """A connection that is closed has no code: asyncpg raises InterfaceError then."""
    return type(cause).__name__ in ("InterfaceError", "InternalClientError")
