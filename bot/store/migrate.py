"""Migrate a database up or down. Of several concurrent processes, one does the work."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select, text

from bot.store.database import make_engine
from bot.store.errors import StoreUnavailable, unavailable
from pipeline.records import AssayError

SCRIPTS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x61737362  # an advisory lock of PostgreSQL
T = TypeVar("T")


def migrate(url: str, revision: str = "head") -> None:
    """Migrate to `head`, or up or down to another revision (`base`: no tables), atomically.

    Raises StoreUnavailable, and AssayError if the database belongs to a newer release.
    """
    _run(url, lambda connection: _move(connection, revision))


def current(url: str) -> str | None:
    """Return the revision of the database; None if it has none of our tables."""
    return _run(url, _revision)


def newest() -> str | None:
    """Return the revision of this release."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


def _move(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        if _is_behind(revision, _revision(connection)):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
    except CommandError as error:
        raise AssayError(f"the database cannot be migrated ({error}): install the newest release of Assay") from None
    if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise AssayError("the migration would break foreign keys: the database is unchanged")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_behind(revision: str, at: str | None) -> bool:
    """Return whether `revision` lies before `at`."""
    if at is None or revision in ("head", at):
        return False
    scripts = ScriptDirectory(str(SCRIPTS))
    return revision == "base" or revision in {step.revision for step in scripts.iterate_revisions(at, "base")}


def _run(url: str, work: Callable[[Connection], T]) -> T:
    """Run in a thread of its own, so that callers may or may not have an event loop."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _in_a_transaction(url, work)).result()


async def _in_a_transaction(url: str, work: Callable[[Connection], T]) -> T:
    engine = make_engine(url, migrating=True).execution_options(assay_begin="BEGIN IMMEDIATE")
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except (OSError, TimeoutError) as error:
        raise unavailable(error) or StoreUnavailable("the database cannot be reached") from None
    finally:
        await engine.dispose()
