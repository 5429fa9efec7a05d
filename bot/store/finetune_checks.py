"""The check runs of fine-tuning runs among all that are remembered: of one run, on one commit, by our own number."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredCheckRun
from bot.store.tables import check_runs

NAME: Final = "assay/finetune"

_c = check_runs.c


async def posted_for_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, run_id: int
) -> StoredCheckRun | None:
    """The newest that tells of the end of a run."""
    return await _newest(connection, installation_id, repository_id, _c.run_id == run_id)


async def posted_on(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str
) -> StoredCheckRun | None:
    """The newest on a commit, whatever it tells."""
    return await _newest(connection, installation_id, repository_id, _c.head_sha == head_sha)


async def posted_as(
    connection: AsyncConnection, installation_id: int, repository_id: int, external_id: str
) -> StoredCheckRun | None:
    """The one that GitHub knows by this name; none where it is no name of ours."""
    name, _, number = external_id.rpartition("/")
    if name != NAME or not number.isdecimal() or not number.isascii() or len(number) > 18:
        return None
    return await _newest(connection, installation_id, repository_id, _c.row_id == int(number))


async def _newest(
    connection: AsyncConnection, installation_id: int, repository_id: int, *where: Any
) -> StoredCheckRun | None:
    mine: tuple[ColumnElement[bool], ...] = (
        _c.installation_id == installation_id,
        _c.repository_id == repository_id,
        _c.name == NAME,
        _c.check_run_id != 0,
    )
    wanted = select(check_runs).where(*mine, *where).order_by(_c.row_id.desc()).limit(1)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else StoredCheckRun(**row._mapping)
