"""The ledger of an installation: predictions, outcomes, and decisions of its operator. Append-only.

A row belongs to a repository and is deleted only with it. A repository is shown by its current name, whatever name was
written down.
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
_LOCK: Final = 0x6C6467 << 40  # prefix of the advisory locks of PostgreSQL, one per installation


@dataclass(frozen=True)
class LedgerRow:
    """One entry, as JSON values of pipeline.calibration.ledger_entries."""

    entry_id: int
    repository_id: int
    full_name: str  # of the repository, current
    run_id: int  # 0: a decision of the operator
    at: datetime
    entry: Mapping[str, Any]


async def lock_ledger(connection: AsyncConnection, installation_id: int) -> None:
    """Lock the ledger, and what is derived from it, until commit.

    Request the job `recalibrate` before: its worker holds that row and waits for this lock. SQLite needs no lock,
    because its write transactions are serial anyway.
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
    """Append an entry and return its id. Hold the ledger's lock."""
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "run_id": run_id,
        "at": now,
        "entry": dict(entry),
    }
    return int((await connection.execute(insert(ledger).values(**values).returning(_c.entry_id))).scalar_one())


async def entries_of(connection: AsyncConnection, installation_id: int) -> list[LedgerRow]:
    """Return all entries of an installation, oldest first."""
    return [_row(row) for row in await connection.execute(_wanted(installation_id).order_by(_c.entry_id))]


async def entries_of_run(connection: AsyncConnection, installation_id: int, run_id: int) -> list[LedgerRow]:
    """Return the entries of one run: none, or its prediction and its outcome."""
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
