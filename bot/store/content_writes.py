"""Requests that create content on GitHub, counted before they are sent, for its secondary rate limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.installations import lock_installation
from bot.store.tables import content_writes

LOOKBACK: Final = timedelta(hours=1)  # GitHub's longest window


async def reserve_write(
    connection: AsyncConnection,
    installation_id: int,
    now: datetime,
    next_allowed: Callable[[Sequence[datetime], datetime], datetime],
) -> datetime | None:
    """Count a write and return None; or count nothing and return when to ask again.

    `next_allowed(times, now)` gets the writes of the last hour, oldest first. The installation stays locked until
    commit, so that two processes never take the same slot.
    """
    await lock_installation(connection, installation_id)
    written = content_writes.c.written_at
    mine = content_writes.c.installation_id == installation_id
    times = (
        (await connection.execute(select(written).where(mine, written >= now - LOOKBACK).order_by(written)))
        .scalars()
        .all()
    )
    allowed_at = next_allowed(times, now)
    if allowed_at > now:
        return allowed_at
    await connection.execute(insert(content_writes).values(installation_id=installation_id, written_at=now))
    return None


async def forget_writes(connection: AsyncConnection, before: datetime) -> int:
    """Delete the writes that no window reaches, and return their number."""
    return (await connection.execute(delete(content_writes).where(content_writes.c.written_at < before))).rowcount
