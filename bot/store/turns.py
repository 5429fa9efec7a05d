"""Whose turn it is: installation by installation, the one served longest ago first, whatever it has waiting.

The server's own jobs (installation 0) and those of an installation that is not stored yet come first: there are only
a few of either, so nobody waits for long. Within an installation: what has been due longest.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import CTE, Select, Subquery, and_, bindparam, func, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import JobKind
from bot.store.tables import Utc, installations, jobs

_CLAIMING: Final = 0x61737361  # the number of a lock of PostgreSQL's that whoever claims holds


async def next_turn(connection: AsyncConnection, caps: Mapping[JobKind, int], now: datetime) -> int | None:
    """The job to take next, of those kinds, with no more of a kind running in its installation than `caps` says.

    On PostgreSQL claims wait for each other, else two could each take the last place under a cap; on SQLite their
    transactions do so anyway. The time does not depend on how many jobs an installation has waiting.
    """
    if not caps:
        return None
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
    turn = (await connection.execute(_turn(tuple(sorted(caps.items()))), {"now": now})).one_or_none()
    if turn is None:
        return None
    due = and_(
        jobs.c.state == "open",
        jobs.c.installation_id == turn.installation_id,
        jobs.c.kind == turn.kind,
        jobs.c.not_before == turn.due_at,
    )
    first = await connection.execute(select(func.min(jobs.c.job_id).label("job_id")).where(due))
    job_id: int | None = first.scalar_one()
    return job_id


@functools.lru_cache(maxsize=16)
def _turn(caps: tuple[tuple[JobKind, int], ...]) -> Select[tuple[int, JobKind, datetime]]:
    """The first (installation, kind, time) that is due at `now` and under its cap. Built once for the same caps."""
    waiting, kinds, running = _waiting_installations(), _kinds(caps), _running()
    first_due = (
        select(func.min(jobs.c.not_before))
        .where(jobs.c.state == "open", jobs.c.installation_id == waiting.c.installation_id, jobs.c.kind == kinds.c.kind)
        .scalar_subquery()
    )
    found = (
        select(waiting.c.installation_id, kinds.c.kind, kinds.c.cap, first_due.label("due_at"))
        .join_from(waiting, kinds, true())
        .where(waiting.c.installation_id.is_not(None))
        .subquery("found")
    )
    at_work = and_(running.c.installation_id == found.c.installation_id, running.c.kind == found.c.kind)
    served = installations.c.installation_id == found.c.installation_id
    return (
        select(found.c.installation_id, found.c.kind, found.c.due_at)
        .outerjoin_from(found, running, at_work)
        .outerjoin(installations, served)
        .where(found.c.due_at <= bindparam("now", type_=Utc), func.coalesce(running.c.found, 0) < found.c.cap)
        .order_by(installations.c.served_at.asc().nulls_first(), found.c.due_at, found.c.installation_id, found.c.kind)
        .limit(1)
    )


def _waiting_installations() -> CTE:
    """Each installation with an open job, found by leaping through the index from one to the next; NULL at the end."""
    of_open = jobs.c.state == "open"
    waiting = select(func.min(jobs.c.installation_id).label("installation_id")).where(of_open)
    leap = waiting.cte("waiting", recursive=True)
    after = select(func.min(jobs.c.installation_id)).where(of_open, jobs.c.installation_id > leap.c.installation_id)
    return leap.union_all(select(after.scalar_subquery()).where(leap.c.installation_id.is_not(None)))


def _kinds(caps: tuple[tuple[JobKind, int], ...]) -> CTE:
    rows = [select(literal(kind).label("kind"), literal(most).label("cap")) for kind, most in caps]
    return union_all(*rows).cte("kinds")


def _running() -> Subquery:
    """How many are at work: few, whatever is waiting."""
    counted = select(jobs.c.installation_id, jobs.c.kind, func.count().label("found"))
    return counted.where(jobs.c.state == "running").group_by(jobs.c.installation_id, jobs.c.kind).subquery("running")
