"""A migrated database for each test: SQLite always, PostgreSQL in `make test-services`.

The tests of other rooms may use these fixtures too; `store` checks every statement of bot.store on its way.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.database import Database
from bot.store.migrate import migrate
from tests.bot.store.tenancy import refuse_unkeyed

POSTGRES = os.environ.get("ASSAY_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
NUMBERS = itertools.count()

P = ParamSpec("P")
T = TypeVar("T")


def administer(command: str) -> None:
    """Say something to the PostgreSQL server that makes and drops databases. Fails where there is none."""

    async def say() -> None:
        connection = await asyncpg.connect(POSTGRES, timeout=10)
        try:
            await connection.execute(command)
        finally:
            await connection.close()

    asyncio.run(say())


def postgres_url(database: str) -> str:
    return urlunsplit(urlsplit(POSTGRES)._replace(path=f"/{database}"))


class PostgresDatabases:
    """Databases of one test process; `fresh` copies the template, which is quicker than migrating each."""

    def __init__(self) -> None:
        self._prefix = f"assay_test_{os.getpid()}_{os.urandom(4).hex()}"
        self._template = self.make()
        migrate(postgres_url(self._template))

    def make(self, template: str = "template0") -> str:
        name = f"{self._prefix}_{next(NUMBERS)}"
        administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def fresh(self) -> str:
        return self.make(self._template)

    def drop(self, name: str) -> None:
        administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        self.drop(self._template)


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases()
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "assay.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    name = databases.make()
    yield postgres_url(name)
    databases.drop(name)


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a migrated database for this test alone."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "assay.db")
        yield f"sqlite:///{tmp_path / 'assay.db'}"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    name = databases.fresh()
    yield postgres_url(name)
    databases.drop(name)


@pytest.fixture
def every_statement_names_its_installation() -> Iterator[list[str]]:
    """Fails a statement of bot.store on rows of an installation that does not say of which; see SERVER_WIDE.

    The test fails at its end, too, lest somebody caught the error; the list says what was refused.
    """
    refused: list[str] = []

    def check(connection: Any, statement: Any, many: Any, one: Any, options: Any) -> None:
        problem = refuse_unkeyed(statement, [*many, one])
        if problem:
            refused.append(problem)
            raise AssertionError(problem)

    event.listen(Engine, "before_execute", check)
    yield refused
    event.remove(Engine, "before_execute", check)
    assert not refused


class Store:
    """Call store functions, each in a transaction of its own."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.url = url
        self._runner = runner
        self.database = runner.run(Database.open(url))

    def __call__(
        self, function: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def write() -> T:
            async with self.database.write() as connection:
                return await function(connection, *args, **kwargs)

        return self._runner.run(write())

    def rows(self, table: Any) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            async with self.database.read() as connection:
                return [dict(row._mapping) for row in await connection.execute(table.select())]

        return self._runner.run(read())

    def run(self, work: Any) -> Any:
        return self._runner.run(work)


@pytest.fixture
def store(database_url: str, every_statement_names_its_installation: list[str]) -> Iterator[Store]:
    with asyncio.Runner() as runner:
        opened = Store(database_url, runner)
        yield opened
        runner.run(opened.database.close())
