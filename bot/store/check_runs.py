"""Our check runs: a row is saved before GitHub is called and gets GitHub's id afterwards, so none is written twice."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredCheckRun
from bot.store.repositories import note_posted
from bot.store.tables import check_runs

SCREEN: Final = "assay/screen"
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
    again: bool = False,
) -> StoredCheckRun:
    """Create a row that is not posted yet. After a crash GitHub is asked for its `external_id`."""
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "name": name,
        "head_sha": head_sha,
        "screening_id": screening_id,
        "run_id": run_id,
        "check_run_id": 0,
        "again": again,
        "conclusion": conclusion,
        "made_at": now,
    }
    made = await connection.execute(insert(check_runs).values(**values).returning(check_runs))
    return _check_run(made.one())


async def load_check_run(connection: AsyncConnection, installation_id: int, row_id: int) -> StoredCheckRun | None:
    return await _newest(connection, _c.installation_id == installation_id, _c.row_id == row_id)


async def unposted_check_runs(
    connection: AsyncConnection, installation_id: int, repository_id: int, name: str
) -> list[StoredCheckRun]:
    """Return the rows that GitHub may or may not have, newest first."""
    unposted = select(check_runs).where(_of(installation_id, repository_id, name), _c.check_run_id == 0)
    return [_check_run(row) for row in await connection.execute(unposted.order_by(_c.row_id.desc()))]


async def newest_posted(
    connection: AsyncConnection, installation_id: int, repository_id: int, name: str
) -> StoredCheckRun | None:
    """Return the newest one, apart from those that were shown again by request."""
    return await _newest(connection, _of(installation_id, repository_id, name), _c.check_run_id != 0, ~_c.again)


async def shows_screening(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str, screening_id: int
) -> bool:
    """Return whether a check run on this commit shows this screening, for whatever reason it was posted."""
    shown = _c.check_run_id != 0, _c.head_sha == head_sha, _c.screening_id == screening_id
    return await _newest(connection, _of(installation_id, repository_id, SCREEN), *shown) is not None


async def pressed_check_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, check_run_id: int
) -> StoredCheckRun | None:
    """Return the check run with the button, by GitHub's id; None if it is not ours, whatever the delivery claims."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    return await _newest(connection, *mine, _c.check_run_id == check_run_id, _c.check_run_id != 0)


async def mark_posted(
    connection: AsyncConnection, installation_id: int, row_id: int, check_run_id: int, now: datetime
) -> None:
    """Note GitHub's id, and on the repository the time."""
    posted = (
        update(check_runs)
        .where(_c.installation_id == installation_id, _c.row_id == row_id)
        .values(check_run_id=check_run_id, posted_at=now)
        .returning(_c.repository_id)
    )
    repository_id = (await connection.execute(posted)).scalar_one_or_none()
    if repository_id is not None:
        await note_posted(connection, installation_id, repository_id, now)


async def replace_posted(connection: AsyncConnection, installation_id: int, row_id: int, check_run_id: int) -> None:
    """Note that another of GitHub's check runs took the place of the posted one."""
    mine = _c.installation_id == installation_id, _c.row_id == row_id, _c.check_run_id != 0
    await connection.execute(update(check_runs).where(*mine).values(check_run_id=check_run_id))


async def forget_unposted(connection: AsyncConnection, installation_id: int, row_id: int) -> None:
    """Delete a row that GitHub never got; a posted one stays."""
    mine = _c.installation_id == installation_id, _c.row_id == row_id
    await connection.execute(delete(check_runs).where(*mine, _c.check_run_id == 0))


async def posted_for_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, run_id: int
) -> StoredCheckRun | None:
    """Return the newest check run that shows the end of a run."""
    return await _newest(connection, _posted(installation_id, repository_id), _c.run_id == run_id)


async def posted_on(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str
) -> StoredCheckRun | None:
    """Return the newest `assay/finetune` on a commit, whatever it shows."""
    return await _newest(connection, _posted(installation_id, repository_id), _c.head_sha == head_sha)


async def posted_as(
    connection: AsyncConnection, installation_id: int, repository_id: int, external_id: str
) -> StoredCheckRun | None:
    """Return the check run with this external id; None if it is not one of ours."""
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
