"""Requests that made content at GitHub, counted for its secondary limits before they are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.installations import lock_installation
from bot.store.tables import content_writes

LOOKBACK: Final = timedelta(hours=1)  # the longest window that GitHub counts in


async def reserve_write(
    connection: AsyncConnection,
    installation_id: int,
    now: datetime,
    next_allowed: Callable[[Sequence[datetime], datetime], datetime],
) -> datetime | None:
    """None: counted, send it. Else nothing is counted, and this is when to ask again.

    `next_allowed(times, now)` gets the writes of the last hour, oldest first. The installation is locked until the
    transaction ends, so that two processes do not take the same place.
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
    """Drop what no window reaches any more; return how many."""
    return (await connection.execute(delete(content_writes).where(content_writes.c.written_at < before))).rowcount
