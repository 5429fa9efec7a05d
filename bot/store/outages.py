"""Jobs that fail because of GitHub or the network: they wait, and are tried again together once one succeeds.

This module is server-wide: an outage concerns every installation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Job, JobKind
from bot.store.jobs import to_job
from bot.store.tables import jobs

_c = jobs.c
_MAX_IDS: Final = 500  # per statement


class FailingFigure(NamedTuple):
    kind: JobKind
    jobs: int
    since: datetime  # of the one that has failed longest


async def next_failing(connection: AsyncConnection, kind: JobKind) -> datetime | None:
    """Return when a waiting job of this kind is tried next; None without one."""
    failing = _c.kind == kind, _c.state == "open", _c.failing_since.is_not(None)
    at: datetime | None = (await connection.execute(select(func.min(_c.not_before)).where(*failing))).scalar_one()
    return at


async def revive_failing(connection: AsyncConnection, now: datetime) -> int:
    """Let every waiting job try again now, and return their number.

    Those that somebody else is changing are left alone.
    """
    failing = _c.state == "open", _c.failing_since.is_not(None), _c.not_before > now
    found = await connection.execute(select(_c.job_id).where(*failing).with_for_update(skip_locked=True))
    waiting = list(found.scalars())
    for start in range(0, len(waiting), _MAX_IDS):
        of_them = _c.job_id.in_(waiting[start : start + _MAX_IDS])
        await connection.execute(update(jobs).where(of_them, *failing).values(not_before=now))
    return len(waiting)


async def failing_figures(connection: AsyncConnection) -> list[FailingFigure]:
    """Return per kind the number of failing jobs."""
    counted = select(_c.kind, func.count().label("jobs"), func.min(_c.failing_since).label("since"))
    failing = counted.where(_c.state.in_(["open", "running"]), _c.failing_since.is_not(None))
    rows = await connection.execute(failing.group_by(_c.kind).order_by(_c.kind))
    return [FailingFigure(row.kind, row.jobs, row.since) for row in rows]


async def failing_jobs(connection: AsyncConnection) -> list[Job]:
    """Return the failing jobs of all installations, the longest first."""
    failing = _c.state.in_(["open", "running"]), _c.failing_since.is_not(None)
    rows = await connection.execute(select(jobs).where(*failing).order_by(_c.failing_since, _c.job_id))
    return [to_job(row) for row in rows]
