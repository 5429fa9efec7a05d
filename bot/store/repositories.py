"""The repositories of an installation: how GitHub describes them, and what we remember of them beside that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, false, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Repository, RepositoryMemory
from bot.store.budgets import keep_minutes
from bot.store.shared_outcomes import disown
from bot.store.tables import jobs, metadata, repositories
from bot.store.upsert import insert_into

_c = repositories.c


async def load_repository(
    connection: AsyncConnection, installation_id: int, repository_id: int
) -> RepositoryMemory | None:
    row = (await connection.execute(select(repositories).where(_is(installation_id, repository_id)))).one_or_none()
    return None if row is None else _memory(row)


async def list_repositories(connection: AsyncConnection, installation_id: int) -> list[RepositoryMemory]:
    wanted = select(repositories).where(_c.installation_id == installation_id)
    return await _memories(connection, wanted.order_by(_c.repository_id))


async def all_repositories(connection: AsyncConnection) -> list[RepositoryMemory]:
    """In the order of their names."""
    return await _memories(connection, select(repositories).order_by(func.lower(_c.full_name), _c.installation_id))


async def find_repository(connection: AsyncConnection, full_name: str) -> RepositoryMemory | None:
    """By the name it was last known by, in any case. Where a name was given to another: the one measured last."""
    wanted = select(repositories).where(func.lower(_c.full_name) == full_name.lower())
    newest = wanted.order_by(_c.measured_at.desc().nulls_last(), _c.repository_id.desc()).limit(1)
    return next(iter(await _memories(connection, newest)), None)


async def save_repository(connection: AsyncConnection, repository: Repository) -> None:
    """As GitHub describes it now; what we remember of it stays as it was. Its installation must be there."""
    described = {
        "full_name": repository.full_name,
        "default_branch": repository.default_branch,
        "private": repository.private,
        "archived": repository.archived,
    }
    await connection.execute(
        insert_into(connection, repositories)
        .values(installation_id=repository.installation_id, repository_id=repository.repository_id, **described)
        .on_conflict_do_update(index_elements=["installation_id", "repository_id"], set_=described)
    )


async def delete_repository(
    connection: AsyncConnection, installation_id: int, repository_id: int, except_job: int = 0
) -> None:
    """Every row of it in every table. The job that does this stays until it ends, and goes then.

    What its runs cost stays counted for its installation, and the figures that it shared stay as figures of nobody.
    """
    of_it = jobs.c.installation_id == installation_id, jobs.c.repository_id == repository_id
    await connection.execute(delete(jobs).where(*of_it, jobs.c.job_id != except_job))
    await keep_minutes(connection, installation_id, repository_id, under=installation_id)
    await disown(connection, installation_id, repository_id)
    for table in reversed(metadata.sorted_tables):
        if table is not jobs and "repository_id" in table.c:
            mine = table.c.installation_id == installation_id, table.c.repository_id == repository_id
            await connection.execute(delete(table).where(*mine))
    await connection.execute(update(jobs).where(*of_it, jobs.c.job_id == except_job).values(forgotten=True))


async def note_push(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str, forced: bool, now: datetime
) -> None:
    """A push to the default branch: it joins the burst that is not answered yet, or begins one."""
    changes: dict[str, Any] = {
        "pushed_head": head_sha,
        "pushed_at": now,
        "push_burst_since": func.coalesce(_c.push_burst_since, now),
    }
    if forced:
        changes["history_changed"] = True
    await _change(connection, installation_id, repository_id, changes)


async def answer_push(connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str) -> None:
    """The burst is over, unless another head than this one was pushed meanwhile."""
    same = _c.pushed_head.in_([head_sha, ""])
    await _change(connection, installation_id, repository_id, {"push_burst_since": None}, same)


async def note_history_changed(connection: AsyncConnection, installation_id: int, repository_id: int) -> None:
    """Another default branch: the next screening measures afresh. What was pushed to the old one no longer counts."""
    await _change(connection, installation_id, repository_id, {"history_changed": True, "pushed_head": ""})


async def note_screened(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    head_sha: str,
    measured_at: datetime,
    failure: str,
) -> None:
    """When it was last measured and how that failed. A changed history is answered where its newest head was."""
    changes: dict[str, Any] = {"measured_at": measured_at, "last_error": failure}
    if not failure:
        changes["history_changed"] = case((_c.pushed_head.in_([head_sha, ""]), false()), else_=_c.history_changed)
    await _change(connection, installation_id, repository_id, changes)


async def note_posted(
    connection: AsyncConnection, installation_id: int, repository_id: int, posted_at: datetime
) -> None:
    await _change(connection, installation_id, repository_id, {"posted_at": posted_at})


async def note_suites_off(connection: AsyncConnection, installation_id: int, repository_id: int) -> None:
    await _change(connection, installation_id, repository_id, {"suites_off": True})


async def note_error(connection: AsyncConnection, installation_id: int, repository_id: int, text: str) -> None:
    """What went wrong last, for `assay repos`; empty text takes it back."""
    await _change(connection, installation_id, repository_id, {"last_error": text})


async def _change(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    changes: Mapping[str, Any],
    where: ColumnElement[bool] | None = None,
) -> None:
    wanted = _is(installation_id, repository_id)
    await connection.execute(
        update(repositories).where(wanted, where if where is not None else true()).values(**changes)
    )


def _is(installation_id: int, repository_id: int) -> ColumnElement[bool]:
    return and_(_c.installation_id == installation_id, _c.repository_id == repository_id)


async def _memories(connection: AsyncConnection, wanted: Select[Any]) -> list[RepositoryMemory]:
    return [_memory(row) for row in await connection.execute(wanted)]


def _memory(row: Row[Any]) -> RepositoryMemory:
    return RepositoryMemory(
        repository=Repository(
            installation_id=row.installation_id,
            repository_id=row.repository_id,
            full_name=row.full_name,
            default_branch=row.default_branch,
            private=row.private,
            archived=row.archived,
        ),
        pushed_head=row.pushed_head,
        push_burst_since=row.push_burst_since,
        pushed_at=row.pushed_at,
        history_changed=row.history_changed,
        suites_off=row.suites_off,
        measured_at=row.measured_at,
        posted_at=row.posted_at,
        last_error=row.last_error,
    )
