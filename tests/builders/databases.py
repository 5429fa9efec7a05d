"""Migrated databases. A SQLite file is migrated once in each test process and copied from then on."""

import atexit
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from bot.store.migrate import migrate

_SQLITE = "sqlite:///"


def create_database(url: str) -> str:
    """Create the tables at `url` and return it. An existing SQLite file and other databases are migrated."""
    file = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or file.exists():
        migrate(url)
    else:
        shutil.copy(_template(), file)
    return url


@cache
def _template() -> Path:
    folder = tempfile.mkdtemp(prefix="assay-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / "assay.sqlite"
    migrate(f"{_SQLITE}{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file
