"""Screenings: measurement and verdict, or the failure; and the ranking of the newest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredScreening
from bot.store.repositories import note_screened
from bot.store.tables import runs, screenings

_c = screenings.c


async def save_screening(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    head_sha: str,
    measured_at: datetime,
    measurement: Mapping[str, Any],
    judgement: Mapping[str, Any],
    failure: str,
    label_recipe_id: str,
    config_hash: str,
    ranking: Mapping[str, Any] | None = None,
) -> int:
    """Save a screening and return its id. The repository notes its time and failure.

    An older ranking is dropped, because an outdated one must not be shown.
    """
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "head_sha": head_sha,
        "measured_at": measured_at,
        "measurement": dict(measurement),
        "judgement": dict(judgement),
        "failure": failure,
        "label_recipe_id": label_recipe_id,
        "config_hash": config_hash,
        "ranking": None if ranking is None else dict(ranking),
    }
    await drop_ranking(connection, installation_id, repository_id)
    saved = await connection.execute(insert(screenings).values(**values).returning(_c.screening_id))
    await note_screened(connection, installation_id, repository_id, head_sha, measured_at, failure)
    return int(saved.scalar_one())


async def drop_ranking(connection: AsyncConnection, installation_id: int, repository_id: int) -> bool:
    """Drop the ranking and return whether there was one."""
    ranked = update(screenings).where(_of(installation_id, repository_id), _c.ranking.is_not(None))
    dropped = await connection.execute(ranked.values(ranking=null()).returning(_c.screening_id))
    return bool(dropped.all())


async def load_screening(
    connection: AsyncConnection, installation_id: int, screening_id: int | None
) -> StoredScreening | None:
    """Return the screening; None if there is none, or no id."""
    if screening_id is None:
        return None
    return await _newest(connection, _c.installation_id == installation_id, _c.screening_id == screening_id)


async def newest_screening(
    connection: AsyncConnection, installation_id: int, repository_id: int
) -> StoredScreening | None:
    return await _newest(connection, _of(installation_id, repository_id))


async def newest_measured(
    connection: AsyncConnection, installation_id: int, repository_id: int
) -> StoredScreening | None:
    """Return the newest screening that did not fail."""
    return await _newest(connection, _of(installation_id, repository_id), _c.failure == "")


async def verdict_figures(connection: AsyncConnection) -> dict[str, int]:
    """Count repositories by the verdict of their newest screening; `failed` if that failed."""
    newest = select(func.max(_c.screening_id)).group_by(_c.installation_id, _c.repository_id)
    verdict = func.coalesce(_c.judgement["verdict"].as_string(), "failed").label("verdict")
    of_newest = select(verdict, func.count().label("repositories")).where(_c.screening_id.in_(newest)).group_by(verdict)
    return {row.verdict: row.repositories for row in await connection.execute(of_newest)}


async def newest_label_recipe(connection: AsyncConnection) -> str | None:
    """Return the id of the label recipe of the newest screening on this server that did not fail."""
    newest = select(_c.label_recipe_id).where(_c.failure == "").order_by(_c.screening_id.desc()).limit(1)
    found: str | None = await connection.scalar(newest)
    return found


def _of(installation_id: int, repository_id: int) -> ColumnElement[bool]:
    return and_(_c.installation_id == installation_id, _c.repository_id == repository_id)


async def _newest(connection: AsyncConnection, *where: ColumnElement[bool]) -> StoredScreening | None:
    wanted = select(screenings).where(*where).order_by(_c.screening_id.desc()).limit(1)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _screening(row)


def _screening(row: Row[Any]) -> StoredScreening:
    return StoredScreening(**row._mapping)


SHORTLIST: Final = "shortlist"  # in the result of a run that ranked


async def save_ranking(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str, ranking: Mapping[str, Any]
) -> bool:
    """Store a ranking with the newest screening. Return False if that failed or is of another commit."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    newest = select(func.max(_c.screening_id)).where(*mine).scalar_subquery()
    of_head = _c.screening_id == newest, _c.head_sha == head_sha, _c.failure == ""
    return (
        await connection.execute(update(screenings).where(*mine, *of_head).values(ranking=dict(ranking)))
    ).rowcount == 1


async def forget_rankings(connection: AsyncConnection, installation_id: int, repository_id: int) -> None:
    """Delete the rankings in the results of runs, and keep the rest of the results."""
    mine = runs.c.installation_id == installation_id, runs.c.repository_id == repository_id
    ranked = select(runs.c.run_id, runs.c.result).where(*mine, runs.c.result.is_not(None))
    for row in (await connection.execute(ranked.with_for_update())).all():
        if SHORTLIST in row.result:
            kept = {name: value for name, value in row.result.items() if name != SHORTLIST}
            await connection.execute(update(runs).where(*mine, runs.c.run_id == row.run_id).values(result=kept))
