"""The check run that a button was pressed on, by GitHub's number for it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredCheckRun
from bot.store.tables import check_runs

_c = check_runs.c


async def pressed_check_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, check_run_id: int
) -> StoredCheckRun | None:
    """None where it is none of ours, whatever a delivery said."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    posted = select(check_runs).where(*mine, _c.check_run_id == check_run_id, _c.check_run_id != 0)
    row = (await connection.execute(posted.order_by(_c.row_id.desc()).limit(1))).one_or_none()
    return None if row is None else StoredCheckRun(**row._mapping)
