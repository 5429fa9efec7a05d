"""The ledger of an installation: what was predicted, what came of it, what its operator decided. Only ever added to.

A row belongs to a repository and goes with it, and only then. Whatever name was written down, a repository is shown by
the one it has now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, and_, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import ledger, repositories

_c = ledger.c
_LOCK: Final = 0x6C6467 << 40  # of PostgreSQL's locks those whose numbers begin so are of ledgers, one an installation


@dataclass(frozen=True)
class LedgerRow:
    """One entry, as JSON values of pipeline.calibration.ledger_entries."""

    entry_id: int
    repository_id: int
    full_name: str  # of the repository, as it is now
    run_id: int  # 0: an operator's word
    at: datetime
    entry: Mapping[str, Any]


async def lock_ledger(connection: AsyncConnection, installation_id: int) -> None:
    """Until the transaction ends, nobody else adds to the ledger or to what follows from it.

    Ask for job `recalibrate` before: whoever does it holds its row and waits for this lock. SQLite needs none: its
    transactions that write are alone anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK | installation_id & ((1 << 40) - 1))))


async def append_entry(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    run_id: int,
    entry: Mapping[str, Any],
    now: datetime,
) -> int:
    """Its number. Hold the ledger's lock."""
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "run_id": run_id,
        "at": now,
        "entry": dict(entry),
    }
    return int((await connection.execute(insert(ledger).values(**values).returning(_c.entry_id))).scalar_one())


async def entries_of(connection: AsyncConnection, installation_id: int) -> list[LedgerRow]:
    """All of an installation, oldest first."""
    return [_row(row) for row in await connection.execute(_wanted(installation_id).order_by(_c.entry_id))]


async def entries_of_run(connection: AsyncConnection, installation_id: int, run_id: int) -> list[LedgerRow]:
    """What was written down of one run: nothing, or its prediction and its outcome."""
    of_it = _wanted(installation_id).where(_c.run_id == run_id)
    return [_row(row) for row in await connection.execute(of_it.order_by(_c.entry_id))]


def _wanted(installation_id: int) -> Select[Any]:
    its_repository = and_(
        repositories.c.installation_id == installation_id, repositories.c.repository_id == _c.repository_id
    )
    mine = _c.installation_id == installation_id
    return select(ledger, repositories.c.full_name).join(repositories, its_repository).where(mine)


def _row(row: Row[Any]) -> LedgerRow:
    return LedgerRow(row.entry_id, row.repository_id, row.full_name, row.run_id, row.at, row.entry)
