"""The installations of the App, and their deletion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Installation, InstallationMemory, InstallationState, Owed
from bot.store.budgets import keep_minutes
from bot.store.shared_outcomes import disown
from bot.store.tables import installations, jobs, metadata
from bot.store.upsert import insert_into


async def load_installation(connection: AsyncConnection, installation_id: int) -> Installation | None:
    row = (
        await connection.execute(select(installations).where(installations.c.installation_id == installation_id))
    ).one_or_none()
    return None if row is None else _installation(row)


async def list_installations(connection: AsyncConnection) -> list[Installation]:
    rows = await connection.execute(select(installations).order_by(installations.c.installation_id))
    return [_installation(row) for row in rows]


async def save_installation(connection: AsyncConnection, installation: Installation, now: datetime) -> None:
    """Save an installation as GitHub describes it now, without changing when it was last served."""
    described = {
        "account_id": installation.account_id,
        "account_login": installation.account_login,
        "account_type": installation.account_type,
        "state": installation.state,
        "permissions": dict(installation.permissions),
        "synced_at": now,
    }
    await connection.execute(
        insert_into(connection, installations)
        .values(installation_id=installation.installation_id, **described)
        .on_conflict_do_update(index_elements=["installation_id"], set_=described)
    )


async def set_installation_state(connection: AsyncConnection, installation_id: int, state: InstallationState) -> None:
    await connection.execute(
        update(installations).where(installations.c.installation_id == installation_id).values(state=state)
    )


async def recall_installation(connection: AsyncConnection, installation_id: int) -> InstallationMemory:
    """Return what we remember of an installation; nothing of one that is not stored."""
    row = (
        await connection.execute(select(installations).where(installations.c.installation_id == installation_id))
    ).one_or_none()
    return InstallationMemory() if row is None else _memory(row)


async def recall_installations(connection: AsyncConnection) -> dict[int, InstallationMemory]:
    """Return what we remember of each installation, by id."""
    return {row.installation_id: _memory(row) for row in await connection.execute(select(installations))}


async def note_owed(connection: AsyncConnection, installation_id: int, owed: Owed) -> None:
    """Note what each repository needs after a change, until all of them are listed."""
    await _note(connection, installation_id, {"owed": owed})


async def note_listed(connection: AsyncConnection, installation_id: int, now: datetime) -> None:
    """Note that all repositories were compared with GitHub's list, and got what they were owed."""
    await _note(connection, installation_id, {"listed_at": now, "owed": ""})


async def note_refused(connection: AsyncConnection, installation_id: int, since: datetime | None) -> None:
    """Note since when the account is not allowed; None if it is."""
    await _note(connection, installation_id, {"refused_at": since})


async def note_gone(connection: AsyncConnection, installation_id: int, since: datetime | None) -> None:
    """Note when GitHub first reported the installation as gone; None once it reports it again."""
    await _note(connection, installation_id, {"gone_since": since})


async def note_installation_error(connection: AsyncConnection, installation_id: int, text: str) -> None:
    """Set the last error of a job of the whole installation; empty text clears it."""
    await _note(connection, installation_id, {"last_error": text})


async def _note(connection: AsyncConnection, installation_id: int, changes: Mapping[str, Any]) -> None:
    await connection.execute(
        update(installations).where(installations.c.installation_id == installation_id).values(**changes)
    )


async def lock_installation(connection: AsyncConnection, installation_id: int) -> None:
    """Lock an installation until commit. Take this lock after a job's lease, never before.

    SQLite needs no lock, because its write transactions are serial anyway.
    """
    await connection.execute(
        select(installations.c.installation_id)
        .where(installations.c.installation_id == installation_id)
        .with_for_update(key_share=True)
    )


async def delete_installation(connection: AsyncConnection, installation_id: int, except_job: int = 0) -> None:
    """Delete every row of an installation in every table. The job that does this is deleted when it ends.

    Jobs are deleted first: that waits for a job that is writing, and one that writes later finds its lease lost. The
    cost of its runs stays counted for the server, and the figures that it shared stay anonymously.
    """
    await connection.execute(delete(jobs).where(jobs.c.installation_id == installation_id, jobs.c.job_id != except_job))
    await keep_minutes(connection, installation_id, None, under=0)
    await disown(connection, installation_id)
    for table in reversed(metadata.sorted_tables):
        if table is not jobs and "installation_id" in table.c:
            await connection.execute(delete(table).where(table.c.installation_id == installation_id))
    await connection.execute(
        update(jobs)
        .where(jobs.c.installation_id == installation_id, jobs.c.job_id == except_job)
        .values(forgotten=True)
    )


def _memory(row: Row[Any]) -> InstallationMemory:
    return InstallationMemory(row.listed_at, row.owed, row.last_error, row.refused_at, row.gone_since)


def _installation(row: Row[tuple[object, ...]]) -> Installation:
    return Installation(
        installation_id=row.installation_id,
        account_id=row.account_id,
        account_login=row.account_login,
        account_type=row.account_type,
        state=row.state,
        permissions=row.permissions,
    )
