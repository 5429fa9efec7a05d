"""Our check runs: a row before GitHub is told, its number afterwards, so that none is written twice."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredCheckRun
from bot.store.repositories import note_posted
from bot.store.tables import check_runs

FINETUNE: Final = "assay/finetune"

_c = check_runs.c


async def create_check_run(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    name: str,
    head_sha: str,
    screening_id: int,
    conclusion: str,
    now: datetime,
    *,
    run_id: int = 0,
) -> StoredCheckRun:
    """A row that is not posted yet; its `external_id` is what GitHub is asked for after a crash."""
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "name": name,
        "head_sha": head_sha,
        "screening_id": screening_id,
        "run_id": run_id,
        "check_run_id": 0,
        "conclusion": conclusion,
        "made_at": now,
    }
    made = await connection.execute(insert(check_runs).values(**values).returning(check_runs))
    return _check_run(made.one())


async def unposted_check_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, name: str
) -> StoredCheckRun | None:
    """The newest that GitHub may or may not have been told."""
    return await _newest(connection, _of(installation_id, repository_id, name), _c.check_run_id == 0)


async def newest_posted(
    connection: AsyncConnection, installation_id: int, repository_id: int, name: str
) -> StoredCheckRun | None:
    return await _newest(connection, _of(installation_id, repository_id, name), _c.check_run_id != 0)


async def pressed_check_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, check_run_id: int
) -> StoredCheckRun | None:
    """The one that a button was pressed on, by GitHub's number; None where it is none of ours, whatever was said."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    return await _newest(connection, *mine, _c.check_run_id == check_run_id, _c.check_run_id != 0)


async def mark_posted(
    connection: AsyncConnection, installation_id: int, row_id: int, check_run_id: int, now: datetime
) -> None:
    """GitHub has it, by this number. The repository remembers when."""
    told = (
        update(check_runs)
        .where(_c.installation_id == installation_id, _c.row_id == row_id)
        .values(check_run_id=check_run_id, posted_at=now)
        .returning(_c.repository_id)
    )
    repository_id = (await connection.execute(told)).scalar_one_or_none()
    if repository_id is not None:
        await note_posted(connection, installation_id, repository_id, now)


async def forget_unposted(connection: AsyncConnection, installation_id: int, row_id: int) -> None:
    """Drop a row that GitHub has never heard of; one that is posted stays."""
    mine = _c.installation_id == installation_id, _c.row_id == row_id
    await connection.execute(delete(check_runs).where(*mine, _c.check_run_id == 0))


async def posted_for_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, run_id: int
) -> StoredCheckRun | None:
    """The newest that tells of the end of a run."""
    return await _newest(connection, _posted(installation_id, repository_id), _c.run_id == run_id)


async def posted_on(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str
) -> StoredCheckRun | None:
    """The newest on a commit, whatever it tells."""
    return await _newest(connection, _posted(installation_id, repository_id), _c.head_sha == head_sha)


async def posted_as(
    connection: AsyncConnection, installation_id: int, repository_id: int, external_id: str
) -> StoredCheckRun | None:
    """The one that GitHub knows by this name; none where it is no name of ours."""
    name, _, number = external_id.rpartition("/")
    if name != FINETUNE or not number.isdecimal() or not number.isascii() or len(number) > 18:
        return None
    return await _newest(connection, _posted(installation_id, repository_id), _c.row_id == int(number))


def _of(installation_id: int, repository_id: int, name: str) -> ColumnElement[bool]:
    return and_(_c.installation_id == installation_id, _c.repository_id == repository_id, _c.name == name)


def _posted(installation_id: int, repository_id: int) -> ColumnElement[bool]:
    return and_(_of(installation_id, repository_id, FINETUNE), _c.check_run_id != 0)


async def _newest(connection: AsyncConnection, *where: ColumnElement[bool]) -> StoredCheckRun | None:
    wanted = select(check_runs).where(*where).order_by(_c.row_id.desc()).limit(1)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _check_run(row)


def _check_run(row: Row[Any]) -> StoredCheckRun:
    return StoredCheckRun(**row._mapping)
