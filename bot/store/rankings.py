"""The ranking beside the newest screening, where another one than the baseline's takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import runs, screenings

_c = screenings.c
SHORTLIST: Final = "shortlist"  # in the result of a run that ranked


async def save_ranking(
    connection: AsyncConnection, installation_id: int, repository_id: int, head_sha: str, ranking: Mapping[str, Any]
) -> bool:
    """False: the newest screening failed, or is of another commit than was ranked. Nobody is shown an old ranking."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    newest = select(func.max(_c.screening_id)).where(*mine).scalar_subquery()
    of_head = _c.screening_id == newest, _c.head_sha == head_sha, _c.failure == ""
    return (
        await connection.execute(update(screenings).where(*mine, *of_head).values(ranking=dict(ranking)))
    ).rowcount == 1


async def forget_rankings(connection: AsyncConnection, installation_id: int, repository_id: int) -> None:
    """What runs ranked: nobody may be shown it any more. What they were judged by stays."""
    mine = runs.c.installation_id == installation_id, runs.c.repository_id == repository_id
    ranked = select(runs.c.run_id, runs.c.result).where(*mine, runs.c.result.is_not(None))
    for row in (await connection.execute(ranked.with_for_update())).all():
        if SHORTLIST in row.result:
            kept = {name: value for name, value in row.result.items() if name != SHORTLIST}
            await connection.execute(update(runs).where(*mine, runs.c.run_id == row.run_id).values(result=kept))
