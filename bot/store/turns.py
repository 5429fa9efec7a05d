"""Fair scheduling: the installation served longest ago comes next, however many jobs it has waiting.

Jobs of the server (installation 0) and of installations that are not stored yet come first; there are only a few.
Within an installation the job that has been due longest comes first.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Select,
    Subquery,
    and_,
    bindparam,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import JobKind
from bot.store.tables import Utc, installations, jobs

_CLAIM_LOCK: Final = 0x61737361  # an advisory lock of PostgreSQL


async def next_turn(
    connection: AsyncConnection, caps: Mapping[JobKind, int], now: datetime, without: Collection[int] = ()
) -> int | None:
    """Return the job to claim next, of the kinds in `caps`, which limits the running jobs per kind and installation.

    Jobs of the installations in `without` do not count.

    On PostgreSQL claims are serialized, or two could each take the last slot under a cap; on SQLite write transactions
    are serial anyway. The time does not depend on how many jobs an installation has waiting.
    """
    if not caps:
        return None
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
    turn = (
        await connection.execute(_turn(tuple(sorted(caps.items()))), {"now": now, "without": list(without)})
    ).one_or_none()
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
    """Select the first (installation, kind, time) due at `now` and under its cap. Cached per caps."""
    waiting, kinds, running = _waiting_installations(), _kinds(caps), _running()
    first_due = (
        select(func.min(jobs.c.not_before))
        .where(jobs.c.state == "open", jobs.c.installation_id == waiting.c.installation_id, jobs.c.kind == kinds.c.kind)
        .scalar_subquery()
    )
    due = (
        select(waiting.c.installation_id, kinds.c.kind, kinds.c.cap, first_due.label("due_at"))
        .join_from(waiting, kinds, true())
        .where(waiting.c.installation_id.is_not(None), waiting.c.installation_id.not_in(_without()))
        .subquery("due")
    )
    at_work = and_(running.c.installation_id == due.c.installation_id, running.c.kind == due.c.kind)
    served = installations.c.installation_id == due.c.installation_id
    return (
        select(due.c.installation_id, due.c.kind, due.c.due_at)
        .outerjoin_from(due, running, at_work)
        .outerjoin(installations, served)
        .where(due.c.due_at <= bindparam("now", type_=Utc), func.coalesce(running.c.jobs, 0) < due.c.cap)
        .order_by(installations.c.served_at.asc().nulls_first(), due.c.due_at, due.c.installation_id, due.c.kind)
        .limit(1)
    )


def _without() -> BindParameter[Any]:
    return bindparam("without", expanding=True, type_=BigInteger)


async def waits_for_a_slot(connection: AsyncConnection, kinds: Collection[JobKind], due_before: datetime) -> bool:
    """Return whether an installation has had a due job of these kinds since then, and none that runs."""
    at_work = select(jobs.c.installation_id).where(jobs.c.state == "running", jobs.c.kind.in_(sorted(kinds)))
    busy = (await connection.execute(at_work)).scalars().all()
    caps = tuple((kind, 1) for kind in sorted(kinds))
    return (await connection.execute(_turn(caps), {"now": due_before, "without": list(busy)})).first() is not None


def _waiting_installations() -> CTE:
    """Select each installation with an open job by skipping through the index; NULL at the end."""
    of_open = jobs.c.state == "open"
    waiting = select(func.min(jobs.c.installation_id).label("installation_id")).where(of_open)
    leap = waiting.cte("waiting", recursive=True)
    after = select(func.min(jobs.c.installation_id)).where(of_open, jobs.c.installation_id > leap.c.installation_id)
    return leap.union_all(select(after.scalar_subquery()).where(leap.c.installation_id.is_not(None)))


def _kinds(caps: tuple[tuple[JobKind, int], ...]) -> CTE:
    rows = [select(literal(kind).label("kind"), literal(cap).label("cap")) for kind, cap in caps]
    return union_all(*rows).cte("kinds")


def _running() -> Subquery:
    """Count the running jobs, which are few however many wait."""
    counted = select(jobs.c.installation_id, jobs.c.kind, func.count().label("jobs"))
    return counted.where(jobs.c.state == "running").group_by(jobs.c.installation_id, jobs.c.kind).subquery("running")
