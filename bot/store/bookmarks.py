"""Small JSON values that the server stores about itself, by name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import bookmarks
from bot.store.upsert import insert_into


async def load_bookmark(connection: AsyncConnection, name: str) -> Any:
    """Return the value; None if none was saved."""
    return (await connection.execute(select(bookmarks.c.value).where(bookmarks.c.name == name))).scalar_one_or_none()


async def save_bookmark(connection: AsyncConnection, name: str, value: Any) -> None:
    await connection.execute(
        insert_into(connection, bookmarks)
        .values(name=name, value=value)
        .on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )
