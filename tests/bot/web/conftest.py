"""A migrated database for each test, from the store's fixtures."""

from tests.bot.store.conftest import (
    database_url,
    dialect,
    every_statement_names_its_installation,
    migrated_file,
    postgres_databases,
    store,
)

__all__ = [
    "database_url",
    "dialect",
    "every_statement_names_its_installation",
    "migrated_file",
    "postgres_databases",
    "store",
]
