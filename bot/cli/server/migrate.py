"""`assay migrate`: bring the database to the tables of this release."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from bot.cli.database import usable_database_url
from bot.cli.output import print_result
from bot.settings import load_settings
from bot.store.migrate import current
from bot.store.migrate import migrate as move


def migrate(
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="A revision, or `base` for no tables.")] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Bring the database to the tables of this release, or to another revision.

    All of it happens or nothing. Stop the other processes of Assay first; `assay up` does this by itself.
    """
    url = usable_database_url(load_settings())
    before = current(url)
    move(url, to)
    after = current(url)
    said = f"The database is at revision {after or 'base'}" + (
        " already." if after == before else f", from {before or 'base'}."
    )
    print_result({"before": before, "after": after}, as_json, lambda _: Text(said))
