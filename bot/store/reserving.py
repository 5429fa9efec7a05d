"""What a reservation of GPU minutes asks beside the budget: that nobody else reserves now, and what runs have cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import runs

_RESERVING: Final = 0x61737364  # the number of a lock of PostgreSQL's that whoever reserves holds


async def reserve_alone(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody else reserves, for any installation: the server's ceiling is one for all.

    SQLite needs none: its transactions that write are alone anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_RESERVING)))


async def newest_results(connection: AsyncConnection, base_model: str, limit: int) -> list[Mapping[str, Any]]:
    """Of runs that were judged with this model, of every installation, newest first."""
    judged = runs.c.purpose == "judge", runs.c.base_model == base_model, runs.c.result.is_not(None)
    found = select(runs.c.result).where(*judged).order_by(runs.c.run_id.desc()).limit(limit)
    return list((await connection.execute(found)).scalars())
