"""The current verdict of each repository, and judging its measurement again.

Another verdict on the same measurement becomes a screening of its own, so history is never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import StoredScreening
from bot.store.screenings import newest_screening
from bot.store.tables import repositories, screenings

_c = screenings.c


@dataclass(frozen=True)
class Standing:
    """A repository's current verdict, and what decides whether another threshold flips it."""

    repository_id: int
    screening_id: int
    label_recipe_id: str
    density: float | None
    measurable: bool
    verdict: str  # RUN or SKIP


async def standing_verdicts(connection: AsyncConnection, installation_id: int) -> list[Standing]:
    """Return the current verdicts by repository. A repository whose newest screening failed has none."""
    mine = _c.installation_id == installation_id
    newest = select(func.max(_c.screening_id)).where(mine).group_by(_c.repository_id)
    wanted = select(
        _c.repository_id,
        _c.screening_id,
        _c.label_recipe_id,
        _c.measurement["density"]["value"].as_float().label("density"),
        _c.judgement["measurable"].as_boolean().label("measurable"),
        _c.judgement["verdict"].as_string().label("verdict"),
    ).where(mine, _c.screening_id.in_(newest), _c.failure == "")
    rows = await connection.execute(wanted.order_by(_c.repository_id))
    return [Standing(**{**row._mapping, "measurable": bool(row.measurable)}) for row in rows]


async def lock_newest(connection: AsyncConnection, installation_id: int, repository_id: int) -> StoredScreening | None:
    """Return the newest screening of a repository, and block newer ones until commit.

    Return None, without waiting, if another transaction is writing about the repository: one that stores a screening
    locks its repository and then requests the same jobs, so waiting could deadlock.
    """
    mine = repositories.c.installation_id == installation_id, repositories.c.repository_id == repository_id
    locked = select(repositories.c.repository_id).where(*mine).with_for_update(skip_locked=True)
    if (await connection.execute(locked)).one_or_none() is None:
        return None
    return await newest_screening(connection, installation_id, repository_id)


async def judge_again(
    connection: AsyncConnection, installation_id: int, screening: StoredScreening, judgement: Mapping[str, Any]
) -> int:
    """Copy a screening with another verdict, move the ranking to the copy, and return its id.

    Nothing was measured, so what the repository notes about measurements and pushes stays.
    """
    mine = _c.installation_id == installation_id, _c.screening_id == screening.screening_id
    values = {
        "installation_id": installation_id,
        "repository_id": screening.repository_id,
        "head_sha": screening.head_sha,
        "measured_at": screening.measured_at,
        "measurement": dict(screening.measurement),
        "judgement": dict(judgement),
        "failure": "",
        "label_recipe_id": screening.label_recipe_id,
        "config_hash": screening.config_hash,
        "ranking": None if screening.ranking is None else dict(screening.ranking),
    }
    await connection.execute(update(screenings).where(*mine).values(ranking=null()))
    return int((await connection.execute(insert(screenings).values(**values).returning(_c.screening_id))).scalar_one())
