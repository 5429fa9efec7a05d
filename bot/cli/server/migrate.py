"""`assay migrate`: migrate the database schema."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from bot.cli.database import usable_database_url
from bot.cli.output import AsJson, print_result
from bot.settings import load_settings
from bot.store.migrate import current
from bot.store.migrate import migrate as move


def migrate(
    to: Annotated[
        str, typer.Option("--to", metavar="REVISION", help="Target revision; `base` drops all tables.")
    ] = "head",
    as_json: AsJson = False,
) -> None:
    """Migrate the database schema to this release, or to another revision.

    The migration is one transaction. Stop all other Assay processes first. `assay up` migrates by itself.
    """
    url = usable_database_url(load_settings())
    before = current(url)
    move(url, to)
    after = current(url)
    line = f"Migrated the database from revision {before or 'base'} to {after or 'base'}."
    if after == before:
        line = f"The database is already at revision {after or 'base'}."
    print_result({"before": before, "after": after}, as_json, lambda _: Text(line))
