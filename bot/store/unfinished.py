"""What is unfinished: jobs that wait for GitHub or the network, and rows whose effect is missing.

This module is server-wide, because an outage concerns every installation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Job, JobKind
from bot.store.jobs import to_job
from bot.store.reply_comments import GIVEN_UP
from bot.store.tables import check_runs, deliveries, installations, jobs, replies, repositories, runs, screenings

SCREEN: Final = "assay/screen"
FINETUNE: Final = "assay/finetune"
Ids = tuple[int, int]  # installation, repository

_j, _r = jobs.c, repositories.c
_ACTIVE: Final = ("open", "running")
_MAX_IDS: Final = 500  # per statement


class FailingFigure(NamedTuple):
    kind: JobKind
    jobs: int
    since: datetime  # of the one that has failed longest


async def next_failing(connection: AsyncConnection, kind: JobKind) -> datetime | None:
    """Return when a waiting job of this kind is tried next; None without one."""
    failing = _j.kind == kind, _j.state == "open", _j.failing_since.is_not(None)
    at: datetime | None = (await connection.execute(select(func.min(_j.not_before)).where(*failing))).scalar_one()
    return at


async def revive_failing(connection: AsyncConnection, now: datetime) -> int:
    """Let every waiting job try again now, and return their number.

    Those that somebody else is changing are left alone.
    """
    failing = _j.state == "open", _j.failing_since.is_not(None), _j.not_before > now
    found = await connection.execute(select(_j.job_id).where(*failing).with_for_update(skip_locked=True))
    waiting = list(found.scalars())
    for start in range(0, len(waiting), _MAX_IDS):
        of_them = _j.job_id.in_(waiting[start : start + _MAX_IDS])
        await connection.execute(update(jobs).where(of_them, *failing).values(not_before=now))
    return len(waiting)


async def failing_figures(connection: AsyncConnection) -> list[FailingFigure]:
    """Return per kind the number of failing jobs."""
    counted = select(_j.kind, func.count().label("jobs"), func.min(_j.failing_since).label("since"))
    failing = counted.where(_j.state.in_(_ACTIVE), _j.failing_since.is_not(None))
    rows = await connection.execute(failing.group_by(_j.kind).order_by(_j.kind))
    return [FailingFigure(row.kind, row.jobs, row.since) for row in rows]


async def failing_jobs(connection: AsyncConnection) -> list[Job]:
    """Return the failing jobs of all installations, the longest first."""
    failing = _j.state.in_(_ACTIVE), _j.failing_since.is_not(None)
    rows = await connection.execute(select(jobs).where(*failing).order_by(_j.failing_since, _j.job_id))
    return [to_job(row) for row in rows]


async def count_failed(connection: AsyncConnection) -> int:
    """Return the number of repositories whose last error stands."""
    failed = select(func.count()).select_from(repositories).where(_r.last_error != "")
    return int((await connection.execute(failed)).scalar_one())


async def unlisted_installations(connection: AsyncConnection, before: datetime) -> list[int]:
    """Return the active installations whose repositories were not compared with GitHub's list since then."""
    c = installations.c
    stale = or_(c.listed_at.is_(None), c.listed_at < before)
    wanted = select(c.installation_id).where(c.state == "active", stale).order_by(c.installation_id)
    return list((await connection.execute(wanted)).scalars())


async def unanswered_repositories(connection: AsyncConnection) -> list[Ids]:
    """Return the repositories with a head or a verdict that no check run shows, and nothing at work on it."""
    of_it = _r.installation_id, _r.repository_id
    newest = _newest(screenings.c.screening_id, screenings.c)
    posted = _newest(check_runs.c.row_id, check_runs.c, check_runs.c.name == SCREEN, check_runs.c.check_run_id != 0)
    shown = select(check_runs.c.screening_id).where(check_runs.c.row_id == posted).scalar_subquery()
    unanswered = or_(
        _r.measured_at.is_(None),
        _r.push_burst_since.is_not(None),
        and_(newest.is_not(None), func.coalesce(shown, 0) != newest),
    )
    at_work = _job_of(_r.installation_id, _r.repository_id, ("post", "screen", "sync_repository"))
    wanted = select(*of_it).where(_r.archived.is_(False), unanswered, _is_served(_r.installation_id), ~at_work)
    return [(row.installation_id, row.repository_id) for row in await connection.execute(wanted.order_by(*of_it))]


async def unreported_runs(connection: AsyncConnection, ended_after: datetime) -> list[tuple[Ids, int, datetime]]:
    """Return the runs that ended since then and were not applied, or that no check run shows: ids, run, end."""
    c = runs.c
    shown = exists().where(
        check_runs.c.installation_id == c.installation_id,
        check_runs.c.repository_id == c.repository_id,
        check_runs.c.run_id == c.run_id,
        check_runs.c.check_run_id != 0,
    )
    unreported = or_(c.settled.is_(False), and_(c.purpose == "judge", ~shown))
    ended = c.state == "ended", c.ended_at > ended_after, unreported, _is_served(c.installation_id)
    wanted = select(c.installation_id, c.repository_id, c.run_id, c.ended_at).where(*ended).order_by(c.run_id)
    return [
        ((row.installation_id, row.repository_id), row.run_id, row.ended_at) for row in await connection.execute(wanted)
    ]


async def outdated_replies(connection: AsyncConnection, made_after: datetime) -> list[tuple[Ids, int, int, datetime]]:
    """Return the comments made since then that do not exist, or show less than the end of their run.

    Each as ids, reply, run (0: none) and since when it is outdated.
    """
    c = replies.c
    reported_at = (
        select(func.max(check_runs.c.posted_at))
        .where(check_runs.c.installation_id == c.installation_id, check_runs.c.run_id == c.run_id)
        .scalar_subquery()
    )
    ended_at = func.coalesce(reported_at, runs.c.ended_at)
    behind = and_(runs.c.state == "ended", or_(c.posted_at.is_(None), c.posted_at < ended_at))
    found = (
        select(c.installation_id, c.repository_id, c.reply_id, c.run_id, c.made_at, ended_at.label("ended_at"))
        .outerjoin(runs, and_(runs.c.installation_id == c.installation_id, runs.c.run_id == c.run_id))
        .where(c.posted_digest != GIVEN_UP, c.made_at > made_after, _is_served(c.installation_id))
        .where(or_(c.posted_id == 0, behind))
        .order_by(c.reply_id)
    )
    return [
        ((row.installation_id, row.repository_id), row.reply_id, row.run_id, row.ended_at or row.made_at)
        for row in await connection.execute(found)
    ]


async def jobs_about(
    connection: AsyncConnection, ids: Ids, kinds: Sequence[JobKind], ended_after: datetime
) -> list[Any]:
    """Return the jobs that are at work, or ended since then: `arguments`, `state` and `finished_at` of each."""
    c = jobs.c
    mine = c.installation_id == ids[0], c.repository_id == ids[1], c.kind.in_(kinds)
    recent = or_(c.state.in_(_ACTIVE), c.finished_at > ended_after)
    wanted = select(c.arguments, c.state, c.finished_at).where(*mine, recent)
    return list((await connection.execute(wanted)).all())


async def reopen_failed_deliveries(connection: AsyncConnection) -> int:
    """Let the deliveries whose job failed be handled again, and return their number."""
    c = deliveries.c
    failed = exists().where(jobs.c.job_id == c.job_id, jobs.c.state == "failed")
    reopened = update(deliveries).where(c.state == "handled", failed).values(state="received", job_id=None)
    return (await connection.execute(reopened)).rowcount


def _newest(number: Any, c: Any, *where: ColumnElement[bool]) -> Any:
    """Select the highest number of the repository at hand."""
    mine = c.installation_id == _r.installation_id, c.repository_id == _r.repository_id
    return select(func.max(number)).where(*mine, *where).correlate(repositories).scalar_subquery()


def _is_served(installation_id: Any) -> ColumnElement[bool]:
    return exists().where(installations.c.installation_id == installation_id, installations.c.state == "active")


def _job_of(installation_id: Any, repository_id: Any, kinds: Sequence[JobKind]) -> ColumnElement[bool]:
    c = jobs.c
    of_it = c.installation_id == installation_id, c.repository_id == repository_id
    return exists().where(*of_it, c.kind.in_(kinds), c.state.in_(_ACTIVE))
