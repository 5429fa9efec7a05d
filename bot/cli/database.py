"""The database of the App, as every command finds it that serves it or shows what is in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bot.cli.app_settings import database_url
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import current, newest
from pipeline.records import AssayError


def usable_database_url(settings: Settings) -> str:
    """The database's address; the folder of a file of ours is made where it is missing."""
    if settings.database_url is None:
        private_folder(settings.data_dir)
    return database_url(settings)


def private_folder(folder: Path) -> Path:
    """Made for its owner alone where it is missing. Raises AssayError where it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        to_do = "set ASSAY_DATA_DIR to a folder that you can write to"
        raise AssayError(f"{folder} cannot be made ({error.strerror}): {to_do}") from None
    return folder


@contextlib.asynccontextmanager
async def existing_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of a server that was set up. Raises AssayError where its tables are not those of this release."""
    url = usable_database_url(settings)
    check_revision(url)
    database = await Database.open(url)
    try:
        yield database
    finally:
        await database.close()


def check_revision(url: str) -> None:
    """Raises AssayError where the tables are not those of this release."""
    found, wanted = current(url), newest()
    if found is None:
        raise AssayError(
            "the database is empty: `assay up` fills it, or `assay migrate` where you start each part alone"
        )
    if found != wanted:
        raise AssayError(f"the database is at revision {found} and this release wants {wanted}: run `assay migrate`")
