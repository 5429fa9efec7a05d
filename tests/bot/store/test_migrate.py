"""Migrations up and down, and that they make the tables that the code expects."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from bot.store.database import Database, make_engine
from bot.store.errors import StoreUnavailable
from bot.store.installations import list_installations, save_installation
from bot.store.migrate import current, migrate, newest
from bot.store.screenings import newest_screening
from bot.store.tables import metadata
from pipeline.records import AssayError
from tests.bot.store.values import NOW, installation


def look(url: str, work: Any) -> Any:
    async def connect() -> Any:
        engine = make_engine(url, migrating=True)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(connect())


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def differences(connection: Connection) -> list[Any]:
    # alembic cannot compare an empty text as default on SQLite
    opts = {"compare_server_default": connection.dialect.name == "postgresql"}
    context = MigrationContext.configure(connection, opts=opts)
    return compare_metadata(context, metadata)


def test_a_migrated_database_has_exactly_the_tables_of_the_code(empty_url: str) -> None:
    assert current(empty_url) is None
    migrate(empty_url)
    assert current(empty_url) == newest()
    assert look(empty_url, differences) == []
    assert look(empty_url, table_names) == set(metadata.tables)


def test_a_database_migrates_down_to_nothing_and_up_again(empty_url: str) -> None:
    for _ in range(2):
        migrate(empty_url)
        migrate(empty_url, "base")
        assert current(empty_url) is None
        assert look(empty_url, table_names) == set()


def test_a_second_migration_changes_nothing(database_url: str) -> None:
    async def remember() -> list[Any]:
        database = await Database.open(database_url)
        async with database.write() as connection:
            await save_installation(connection, installation(), NOW)
        migrate(database_url)  # from within an event loop, too
        async with database.read() as connection:
            found = await list_installations(connection)
        await database.close()
        return found

    assert asyncio.run(remember()) == [installation()]
    migrate(database_url, str(newest()))
    assert current(database_url) == newest()


def test_a_screening_from_before_there_were_rankings_is_kept_and_has_none(empty_url: str) -> None:
    migrate(empty_url, "0001")
    look(empty_url, lambda connection: [connection.execute(text(f"INSERT INTO {row}")) for row in OF_THE_FIRST_RELEASE])

    async def load() -> Any:
        database = await Database.open(empty_url)
        async with database.read() as connection:
            found = await newest_screening(connection, 1, 7)
        await database.close()
        return found

    migrate(empty_url)
    stored = asyncio.run(load())
    assert (stored.failure, stored.measurement, stored.ranking) == ("too large", {}, None)
    migrate(empty_url, "0001")
    migrate(empty_url)
    assert asyncio.run(load()) == stored


OF_THE_FIRST_RELEASE = (
    "installations VALUES (1, 2, 'acme', 'User', 'active', '{}', '2024-05-01 12:00:00', NULL)",
    "repositories (installation_id, repository_id, full_name, default_branch, private, archived) "
    "VALUES (1, 7, 'acme/shop', 'main', false, false)",
    "screenings VALUES (1, 1, 7, 'abc', '2024-05-01 12:00:00', '{}', '{}', 'too large', 'r1', '')",
)


def test_a_database_of_a_newer_release_is_left_alone(database_url: str) -> None:
    look(database_url, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(AssayError, match="install the newest release"):
        migrate(database_url)
    assert look(database_url, table_names) == set(metadata.tables)


@pytest.mark.faults
def test_concurrent_processes_migrate_once(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(empty_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert look(empty_url, differences) == []


def test_a_failed_migration_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alembic.operations.Operations.create_index", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate(empty_url)
    assert look(empty_url, table_names) == set()
    assert current(empty_url) is None


def test_a_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened: No such file or directory"):
        migrate(f"sqlite:///{tmp_path / 'nowhere' / 'assay.db'}")
