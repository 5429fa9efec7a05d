"""Which errors are the database's and which are ours."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.store.errors import StoreConflict, StoreFull, StoreUnavailable, unavailable


class Refusal(Exception):
    """As asyncpg's errors are translated: a message and PostgreSQL's code."""

    def __init__(self, state: str) -> None:
        super().__init__("with a user's name and a secret in it")
        self.sqlstate = state


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said SQLite")
    error.sqlite_errorcode = code
    return error


def wrapped(error: Exception) -> DBAPIError:
    return DBAPIError("INSERT INTO ...", {"name": "s3cr3t"}, error)


PASSING = {
    "busy": of_sqlite(5),
    "busy, with a snapshot": of_sqlite(5 | 2 << 8),
    "disk error": of_sqlite(10 | 13 << 8),
    "read only": of_sqlite(8),
    "not a database": of_sqlite(26),
    "closed under us": sqlite3.OperationalError("no active connection"),
    "server shut down": Refusal("57P01"),
    "server starting": Refusal("57P03"),
    "too many connections": Refusal("53300"),
    "unknown whether it was done": Refusal("40003"),
    "lock not free": Refusal("55P03"),
    "wrong password": Refusal("28P01"),
    "no such database": Refusal("3D000"),
}
OURS = {
    "no such table": of_sqlite(1),
    "unique": sqlite3.IntegrityError("UNIQUE constraint failed"),
    "syntax": Refusal("42601"),
    "unique in PostgreSQL": Refusal("23505"),
    "too long": Refusal("22001"),
}


def test_transient_database_errors_may_be_retried(subtests: pytest.Subtests) -> None:
    for case, error in PASSING.items():
        with subtests.test(case):
            problem = unavailable(wrapped(error))
            assert type(problem) is StoreUnavailable
            assert "s3cr3t" not in str(problem)
            assert "secret" not in str(problem)


@pytest.mark.parametrize("error", OURS.values(), ids=OURS)
def test_bugs_stay_errors_of_ours(error: Exception) -> None:
    assert unavailable(wrapped(error)) is None
    assert unavailable(IntegrityError("INSERT", {}, error)) is None


@pytest.mark.parametrize("error", [of_sqlite(13), Refusal("53100"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_is_named(error: Exception) -> None:
    assert type(unavailable(wrapped(error))) is StoreFull


@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_a_conflict_is_distinguished_from_an_outage(state: str) -> None:
    assert type(unavailable(wrapped(Refusal(state)))) is StoreConflict


@pytest.mark.parametrize(
    "error", [PoolTimeout("QueuePool limit"), TimeoutError(), ConnectionRefusedError(111, "refused"), OSError("lost")]
)
def test_an_unreachable_server_may_be_retried(error: Any) -> None:
    assert type(unavailable(error)) is StoreUnavailable


def test_other_errors_are_not_translated() -> None:
    assert unavailable(ValueError("a time without a zone")) is None
