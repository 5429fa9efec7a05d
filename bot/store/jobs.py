"""The job queue: request, claim, reschedule and finish jobs. `turns` decides which job is next.

open -> running -> done | failed | cancelled, and back to open when it is rescheduled, when its worker vanished, or when
it was requested again while running. Every change of a running job checks the lease under which it was claimed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, case, delete, func, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Fact, Job, JobKind, JobState
from bot.store.tables import installations, jobs
from bot.store.turns import next_turn
from bot.store.upsert import insert_into

_c = jobs.c
_MAX_KEY_LENGTH: Final = 64  # longer keys are hashed to fit the column
_CLAIM_TRIES: Final = 5
_NO_LEASE: Final[dict[str, Any]] = {"lease_token": "", "lease_until": None}
_NO_NEW_REQUEST: Final[dict[str, Any]] = {"again_at": None, "again_arguments": null()}


class LostLease(Exception):
    """Another worker holds this job, or it was cancelled: nothing more may be written for it."""


class QueueFigure(NamedTuple):
    kind: JobKind
    state: JobState
    jobs: int
    oldest_s: float  # since the oldest became due (open) or started (running)


async def request_job(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    kind: JobKind,
    now: datetime,
    *,
    not_before: datetime | None = None,
    arguments: Mapping[str, Fact] | None = None,
    key: str = "",
    later: bool = False,
    once: bool = False,
) -> int:
    """Return the id of the one open or running job of this kind, repository and key, creating it if there is none.

    An open job becomes due at the earlier of both times (with `later`, the later one), and the arguments are merged. A
    running job reopens when it ends, unless it should run only `once`.
    """
    open_key = _open_key(kind, installation_id, repository_id, key)
    not_before = not_before or now
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "kind": kind,
        "open_key": open_key,
        "arguments": dict(arguments or {}),
        "state": "open",
        "attempts": 0,
        "made_at": now,
        "not_before": not_before,
    }
    mine = _c.installation_id == installation_id, _c.open_key == open_key
    while True:
        made = insert_into(connection, jobs).values(**values).on_conflict_do_nothing(index_elements=["open_key"])
        job_id = (await connection.execute(made.returning(_c.job_id))).scalar_one_or_none()
        if job_id is not None:
            return int(job_id)
        row = (await connection.execute(select(jobs).where(*mine).with_for_update())).one_or_none()
        if row is not None:  # else it has just ended
            if row.state == "open" or not once:
                changes = _merge_request(row, not_before, dict(arguments or {}), max if later else min)
                await connection.execute(update(jobs).where(*mine, _c.job_id == row.job_id).values(**changes))
            return int(row.job_id)


async def claim_job(
    connection: AsyncConnection,
    kinds: Collection[JobKind],
    now: datetime,
    real_now: datetime,
    *,
    lease_s: float = 30,
    caps: Mapping[JobKind, int] | None = None,
    without: Collection[int] = (),
) -> Job | None:
    """Claim the next job under a new lease, in a transaction that does nothing else.

    `now` decides what is due, `real_now` when the lease expires. `caps` limits the running jobs per kind and
    installation (default 1); installations in `without` are passed over. Return None if nothing is due, or if
    everything due is at its cap.
    """
    for _ in range(_CLAIM_TRIES):
        job_id = await next_turn(connection, {kind: (caps or {}).get(kind, 1) for kind in kinds}, now, without)
        if job_id is None:
            return None
        taken = {
            "state": "running",
            "attempts": _c.attempts + 1,
            "started_at": now,
            "lease_token": secrets.token_hex(16),
            "lease_until": real_now + timedelta(seconds=lease_s),
            "reason": "",
        }
        claim = update(jobs).where(_c.job_id == job_id, _c.state == "open").values(**taken).returning(jobs)
        row = (await connection.execute(claim)).one_or_none()
        if row is not None:  # else it has just been cancelled
            served = update(installations).where(installations.c.installation_id == row.installation_id)
            await connection.execute(served.values(served_at=real_now))
            return to_job(row)
    return None


async def hold_lease(connection: AsyncConnection, job: Job) -> None:
    """Fence a transaction: call this before writing an effect of the job. Raises LostLease.

    The row stays locked until commit, so a cancellation happens before the transaction or after it.
    """
    await _change_held(connection, job, {"lease_token": job.lease_token})


async def renew_lease(connection: AsyncConnection, job: Job, until: datetime) -> bool:
    """Extend the lease. Return False if it is lost."""
    renewed = update(jobs).where(_held(job)).values(lease_until=until)
    return (await connection.execute(renewed)).rowcount == 1


async def finish_job(connection: AsyncConnection, job: Job, state: JobState, now: datetime, reason: str = "") -> None:
    """Mark the job finished; reopen it if it was requested while running. Raises LostLease."""
    if not await _end(connection, job, state, now, reason):
        raise LostLease(f"job {job.job_id}")


async def reschedule_job(
    connection: AsyncConnection,
    job: Job,
    not_before: datetime,
    reason: str,
    *,
    counts: bool,
    failing_since: datetime | None = None,
) -> None:
    """Reopen the job until then, merging requests that arrived meanwhile. Raises LostLease.

    `counts`: whether this was an attempt. `failing_since`: if it failed because of GitHub or the network.
    """
    if not await _reopen(connection, job, not_before, reason, counts=counts, failing_since=failing_since):
        raise LostLease(f"job {job.job_id}")


async def reopen_job(connection: AsyncConnection, job: Job, not_before: datetime, reason: str) -> bool:
    """Reopen a job whose worker vanished; the attempt counts. Return False if another worker holds it, or it ended."""
    return await _reopen(connection, job, not_before, reason, counts=True, failing_since=job.failing_since)


async def fail_job(connection: AsyncConnection, job: Job, now: datetime, reason: str) -> bool:
    """Fail a job whose workers keep vanishing. Return False if another worker holds it, or it ended."""
    return await _end(connection, job, "failed", now, reason)


async def delay_jobs(connection: AsyncConnection, installation_id: int, kind: JobKind, not_before: datetime) -> int:
    """Delay open jobs of a kind that would only run into the same limit, and return their number."""
    waiting = _c.installation_id == installation_id, _c.kind == kind, _c.state == "open", _c.not_before < not_before
    return (await connection.execute(update(jobs).where(*waiting).values(not_before=not_before))).rowcount


async def cancel_jobs(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int | None = None,
    *,
    reason: str,
    except_job: int = 0,
) -> int:
    """Cancel the open and running jobs of an installation or one of its repositories, and return their number."""
    wanted = [_c.installation_id == installation_id, _c.state.in_(["open", "running"]), _c.job_id != except_job]
    if repository_id is not None:
        wanted.append(_c.repository_id == repository_id)
    ended = {"state": "cancelled", "open_key": None, "reason": reason, **_NO_LEASE, **_NO_NEW_REQUEST}
    return (await connection.execute(update(jobs).where(*wanted).values(**ended))).rowcount


async def recent_jobs(
    connection: AsyncConnection, installation_id: int, repository_id: int, kind: JobKind, since: datetime
) -> list[Job]:
    """Return the jobs of a kind and repository that were requested since then, in any state."""
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id
    rows = await connection.execute(select(jobs).where(*mine, _c.kind == kind, _c.made_at >= since))
    return [to_job(row) for row in rows]


async def load_job(connection: AsyncConnection, job_id: int) -> Job | None:
    row = (await connection.execute(select(jobs).where(_c.job_id == job_id))).one_or_none()
    return None if row is None else to_job(row)


async def expired_jobs(connection: AsyncConnection, real_now: datetime) -> list[Job]:
    """Return and lock the jobs whose lease expired, for the same `write()` to end or reopen.

    Rows that another sweeper has locked are skipped.
    """
    expired = select(jobs).where(_c.state == "running", _c.lease_until < real_now)
    return [to_job(row) for row in await connection.execute(expired.with_for_update(skip_locked=True))]


async def is_requested(
    connection: AsyncConnection, installation_id: int, repository_id: int, kind: JobKind, key: str = ""
) -> bool:
    """Return whether such a job is open or running."""
    mine = _c.installation_id == installation_id, _c.open_key == _open_key(kind, installation_id, repository_id, key)
    return (await connection.execute(select(_c.job_id).where(*mine))).first() is not None


async def ready_jobs(connection: AsyncConnection, now: datetime, kinds: Collection[JobKind], limit: int) -> list[int]:
    """Return the ids of due jobs, the oldest first."""
    ready = select(_c.job_id).where(_c.state == "open", _c.not_before <= now, _c.kind.in_(sorted(kinds)))
    return list((await connection.execute(ready.order_by(_c.not_before, _c.job_id).limit(limit))).scalars())


async def free_turns(connection: AsyncConnection, now: datetime, caps: Mapping[JobKind, int]) -> int:
    """Count the jobs that could be claimed now: per kind and installation what is due, up to its cap."""
    due = func.count().filter(_c.state == "open", _c.not_before <= now)
    running = func.count().filter(_c.state == "running")
    of_each = select(_c.kind, due.label("due"), running.label("running")).where(
        _c.state.in_(["open", "running"]), _c.kind.in_(sorted(caps))
    )
    rows = await connection.execute(of_each.group_by(_c.installation_id, _c.kind))
    return sum(max(0, min(row.due, caps[row.kind] - row.running)) for row in rows)


async def purge_jobs(connection: AsyncConnection, before: datetime) -> int:
    """Delete the jobs that ended (cancelled ones: were requested) before then, and return their number."""
    ended = _c.state.in_(["done", "failed", "cancelled"]), func.coalesce(_c.finished_at, _c.made_at) < before
    return (await connection.execute(delete(jobs).where(*ended))).rowcount


async def queue_figures(connection: AsyncConnection, now: datetime) -> list[QueueFigure]:
    """Return per kind the number of open and running jobs, and the age of the oldest."""
    since = case((_c.state == "running", _c.started_at), else_=_c.not_before)
    counted = select(_c.kind, _c.state, func.count().label("jobs"), func.min(since).label("since"))
    rows = await connection.execute(
        counted.where(_c.state.in_(["open", "running"])).group_by(_c.kind, _c.state).order_by(_c.kind, _c.state)
    )
    return [
        QueueFigure(row.kind, row.state, row.jobs, max(0.0, (now - (row.since or now)).total_seconds())) for row in rows
    ]


def _open_key(kind: JobKind, installation_id: int, repository_id: int, key: str) -> str:
    if len(key) > _MAX_KEY_LENGTH or not key.isprintable():
        key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}:{installation_id}:{repository_id}:{key}"


def _merge_request(row: Row[Any], not_before: datetime, arguments: dict[str, Fact], choose: Any) -> dict[str, Any]:
    """Return the changes to a job that is requested again."""
    if row.state == "open":
        return {"not_before": choose(row.not_before, not_before), "arguments": row.arguments | arguments}
    again_at = not_before if row.again_at is None else choose(row.again_at, not_before)
    return {"again_at": again_at, "again_arguments": (row.again_arguments or {}) | arguments}


async def _end(connection: AsyncConnection, job: Job, state: JobState, now: datetime, reason: str) -> bool:
    row = await _lock_held(connection, job)
    if row is None:
        return False
    if row.again_at is not None:
        reset = {"attempts": 0, "made_at": now, "not_before": row.again_at, "arguments": row.again_arguments or {}}
        changes = {"state": "open", "reason": "", "forgotten": False, "failing_since": None, **reset, **_NO_NEW_REQUEST}
        await _change_held(connection, job, {**changes, **_NO_LEASE})
    elif row.forgotten:
        await connection.execute(delete(jobs).where(_held(job)))
    else:
        ended = {"state": state, "open_key": None, "finished_at": now, "reason": reason}
        await _change_held(connection, job, {**ended, **_NO_LEASE})
    return True


async def _reopen(
    connection: AsyncConnection,
    job: Job,
    not_before: datetime,
    reason: str,
    *,
    counts: bool,
    failing_since: datetime | None,
) -> bool:
    row = await _lock_held(connection, job)
    if row is None:
        return False
    changes = {
        "state": "open",
        "not_before": not_before,
        "reason": reason,
        "attempts": row.attempts if counts else max(0, row.attempts - 1),
        "arguments": row.arguments | (row.again_arguments or {}),
        "failing_since": failing_since,
    }
    await _change_held(connection, job, {**changes, **_NO_LEASE, **_NO_NEW_REQUEST})
    return True


async def _lock_held(connection: AsyncConnection, job: Job) -> Row[Any] | None:
    return (await connection.execute(select(jobs).where(_held(job)).with_for_update())).one_or_none()


async def _change_held(connection: AsyncConnection, job: Job, changes: Mapping[str, Any]) -> None:
    changed = await connection.execute(update(jobs).where(_held(job)).values(**changes))
    if changed.rowcount != 1:
        raise LostLease(f"job {job.job_id}")


def _held(job: Job) -> ColumnElement[bool]:
    """Match the job's row while this lease holds it."""
    mine = _c.installation_id == job.installation_id, _c.job_id == job.job_id
    return and_(*mine, _c.state == "running", _c.lease_token == job.lease_token)


def to_job(row: Row[Any]) -> Job:
    return Job(
        job_id=row.job_id,
        kind=row.kind,
        installation_id=row.installation_id,
        repository_id=row.repository_id,
        arguments=row.arguments,
        state=row.state,
        attempts=row.attempts,
        made_at=row.made_at,
        not_before=row.not_before,
        lease_token=row.lease_token,
        reason=row.reason,
        failing_since=row.failing_since,
    )
