"""Open the App's database for a command, and look up installations in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from bot.cli.app_settings import database_url
from bot.records import Installation
from bot.settings import Settings, load_settings
from bot.store.database import Database
from bot.store.installations import list_installations
from bot.store.migrate import current, newest
from pipeline.records import AssayError
from pipeline.reports.escape import inert

T = TypeVar("T")


def usable_database_url(settings: Settings) -> str:
    """Return the database's URL. Creates the folder of the default database file."""
    if settings.database_url is None:
        private_folder(settings.data_dir)
    return database_url(settings)


def private_folder(folder: Path) -> Path:
    """Create a folder that is private to its owner, unless it exists. Raises AssayError if it cannot be created."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        advice = "set ASSAY_DATA_DIR to a writable folder"
        raise AssayError(f"cannot create {folder} ({error.strerror}): {advice}") from None
    return folder


@contextlib.asynccontextmanager
async def existing_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database for the context. Raises AssayError unless its schema is that of this release."""
    url = usable_database_url(settings)
    check_revision(url)
    database = await Database.open(url)
    try:
        yield database
    finally:
        await database.close()


def check_revision(url: str) -> None:
    """Raise AssayError unless the schema is that of this release."""
    revision, expected = current(url), newest()
    if revision is None:
        raise AssayError("the database is empty: run `assay migrate` (`assay up` does it by itself)")
    if revision != expected:
        raise AssayError(
            f"the database is at revision {revision}, but this release needs {expected}: run `assay migrate`"
        )


def in_transaction(work: Callable[[Any], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run `work(connection)` in one transaction of the App's database. Raises AssayError like `existing_database`."""

    async def run() -> T:
        async with existing_database(settings or load_settings()) as database, database.write() as connection:
            return await work(connection)

    return asyncio.run(run())


async def find_installation(connection: Any, login: str) -> Installation:
    """Find an installation by its account's login, ignoring case. Raises AssayError listing the known accounts."""
    known = await list_installations(connection)
    for installation in known:
        if installation.account_login.lower() == login.lower():
            return installation
    logins = ", ".join(sorted(inert(installation.account_login) for installation in known)) or "none"
    raise AssayError(f"the App is not installed on {inert(login)}; accounts with an installation: {logins}")
