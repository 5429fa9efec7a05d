"""The repositories of an installation: GitHub's description, and what we remember beside it."""

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
    """Return the repositories of all installations, ordered by name."""
    return await _memories(connection, select(repositories).order_by(func.lower(_c.full_name), _c.installation_id))


async def find_repository(connection: AsyncConnection, full_name: str) -> RepositoryMemory | None:
    """Find a repository by its last known name, case-insensitively. If several had the name: the one measured last."""
    wanted = select(repositories).where(func.lower(_c.full_name) == full_name.lower())
    newest = wanted.order_by(_c.measured_at.desc().nulls_last(), _c.repository_id.desc()).limit(1)
    return next(iter(await _memories(connection, newest)), None)


async def save_repository(connection: AsyncConnection, repository: Repository) -> None:
    """Save a repository as GitHub describes it now, keeping what we remember. Its installation must exist."""
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
    """Delete every row of a repository in every table. The job that does this is deleted when it ends.

    The cost of its runs stays counted for its installation, and the figures that it shared stay anonymously.
    """
    its_jobs = jobs.c.installation_id == installation_id, jobs.c.repository_id == repository_id
    await connection.execute(delete(jobs).where(*its_jobs, jobs.c.job_id != except_job))
    await keep_minutes(connection, installation_id, repository_id, under=installation_id)
    await disown(connection, installation_id, repository_id)
    for table in reversed(metadata.sorted_tables):
        if table is not jobs and "repository_id" in table.c:
            mine = table.c.installation_id == installation_id, table.c.repository_id == repository_id
            await connection.execute(delete(table).where(*mine))
    await connection.execute(update(jobs).where(*its_jobs, jobs.c.job_id == except_job).values(forgotten=True))


async def note_push(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str, forced: bool, now: datetime
) -> None:
    """Note a push to the default branch, which joins the pending burst or starts one."""
    changes: dict[str, Any] = {
        "pushed_head": head_sha,
        "pushed_at": now,
        "push_burst_since": func.coalesce(_c.push_burst_since, now),
    }
    if forced:
        changes["history_changed"] = True
    await _change(connection, installation_id, repository_id, changes)


async def finish_push_burst(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str
) -> None:
    """End the burst, unless another head was pushed meanwhile."""
    same = _c.pushed_head.in_([head_sha, ""])
    await _change(connection, installation_id, repository_id, {"push_burst_since": None}, same)


async def note_history_changed(connection: AsyncConnection, installation_id: int, repository_id: int) -> None:
    """Note another default branch: the next screening measures again, and pushes to the old branch no longer count."""
    await _change(connection, installation_id, repository_id, {"history_changed": True, "pushed_head": ""})


async def note_screened(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    head_sha: str,
    measured_at: datetime,
    failure: str,
) -> None:
    """Note the time and failure of a screening. Measuring the newest head settles a changed history."""
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
    """Set the last error, which `assay repos` shows; empty text clears it."""
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
