"""Fine-tuning runs: requested, prepared, queued, trained by a GPU worker under a lease, ended.

waiting -> queued -> running -> ended, and back to queued when the worker vanished. A bot worker prepares and cancels; a
GPU worker changes only the run whose lease it holds. `open_key` is set until a run ends, so that a repeated request
returns the same run.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, case, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Run, RunEnding, RunPurpose, RunState
from bot.store.budgets import load_gpu_state
from bot.store.jobs import LostLease
from bot.store.tables import budgets, runs
from bot.store.upsert import insert_into

_c = runs.c
_CLAIM_TRIES: Final = 5
_CLAIM_LOCK: Final = 0x61737362  # an advisory lock of PostgreSQL
_NO_LEASE: Final[dict[str, Any]] = {"lease_token": "", "lease_until": None}
OPEN: Final[tuple[RunState, ...]] = ("waiting", "queued", "running")


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The fields of a requested run."""

    purpose: RunPurpose
    head_sha: str
    base_model: str
    recipe: Mapping[str, Any]
    label_recipe_id: str
    screening_id: int | None = None
    judged_run_id: int | None = None
    forced: bool = False
    audit: bool = False
    asked_by: int | None = None
    comment_id: int | None = None
    config_hash: str = ""
    not_before: datetime | None = field(default=None)


async def open_run(
    connection: AsyncConnection, installation_id: int, repository_id: int, request: RunRequest, now: datetime
) -> tuple[Run, bool]:
    """Return the one open run of this repository, purpose and head, and whether it was created now."""
    open_key = f"{installation_id}:{repository_id}:{request.purpose}:{request.head_sha}"
    values: dict[str, Any] = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "purpose": request.purpose,
        "state": "waiting",
        "open_key": open_key,
        "head_sha": request.head_sha,
        "screening_id": request.screening_id or 0,
        "judged_run_id": request.judged_run_id or 0,
        "forced": request.forced,
        "audit": request.audit,
        "asked_by": request.asked_by or 0,
        "comment_id": request.comment_id or 0,
        "base_model": request.base_model,
        "recipe": dict(request.recipe),
        "label_recipe_id": request.label_recipe_id,
        "config_hash": request.config_hash,
        "progress": {},
        "checkpoints": [],
        "made_at": now,
        "not_before": request.not_before or now,
    }
    mine = _c.installation_id == installation_id, _c.open_key == open_key
    while True:
        made = insert_into(connection, runs).values(**values).on_conflict_do_nothing(index_elements=["open_key"])
        row = (await connection.execute(made.returning(runs))).one_or_none()
        if row is not None:
            return _run(row), True
        row = (await connection.execute(select(runs).where(*mine))).one_or_none()
        if row is not None:  # else it has just ended
            return _run(row), False


async def load_run(connection: AsyncConnection, installation_id: int, run_id: int | None) -> Run | None:
    """Return the run; None if there is none, or no id."""
    return None if run_id is None else await _newest(connection, _is(installation_id, run_id))


async def lock_run(connection: AsyncConnection, installation_id: int, run_id: int) -> Run | None:
    """Return the run, locked until commit."""
    row = (await connection.execute(select(runs).where(_is(installation_id, run_id)).with_for_update())).one_or_none()
    return None if row is None else _run(row)


async def open_runs(connection: AsyncConnection, installation_id: int, repository_id: int | None = None) -> list[Run]:
    """Return the runs that have not ended, oldest first."""
    wanted = [_c.installation_id == installation_id, _c.state.in_(OPEN)]
    if repository_id is not None:
        wanted.append(_c.repository_id == repository_id)
    return [_run(row) for row in await connection.execute(select(runs).where(*wanted).order_by(_c.run_id))]


async def runs_of(
    connection: AsyncConnection, installation_id: int, repository_id: int, purpose: RunPurpose | None = None
) -> list[Run]:
    """Return all runs of a repository, newest first."""
    wanted = [_c.installation_id == installation_id, _c.repository_id == repository_id]
    if purpose is not None:
        wanted.append(_c.purpose == purpose)
    return [_run(row) for row in await connection.execute(select(runs).where(*wanted).order_by(_c.run_id.desc()))]


async def queue_run(
    connection: AsyncConnection, run: Run, *, pair_set_id: str, minutes: float, month: str, now: datetime
) -> bool:
    """Queue a prepared run with `minutes` reserved in `month`. Return False if it has ended meanwhile."""
    changes = {
        "state": "queued",
        "pair_set_id": pair_set_id,
        "estimated_minutes": minutes,
        "budget_month": month,
        "queued_at": now,
        "not_before": now,
    }
    waiting = _is(run.installation_id, run.run_id), _c.state == "waiting"
    return (await connection.execute(update(runs).where(*waiting).values(**changes))).rowcount == 1


async def claim_run(
    connection: AsyncConnection, worker: str, now: datetime, real_now: datetime, *, lease_s: float
) -> Run | None:
    """Claim the next run under a new lease. Return None if none is queued or all must wait.

    A run waits while GPUs are paused, or while its installation has no budget or as many running as its budget allows.
    Installations with fewer running come first, then the longest wait. On PostgreSQL claims are serialized, or two
    could each take the last slot; on SQLite write transactions are serial anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
    if (await load_gpu_state(connection)).paused_because:
        return None
    for _ in range(_CLAIM_TRIES):
        run_id = (await connection.execute(_turn(now))).scalar_one_or_none()
        if run_id is None:
            return None
        taken = {
            "state": "running",
            "attempts": _c.attempts + 1,
            "worker": worker,
            "started_at": func.coalesce(_c.started_at, now),
            "lease_token": secrets.token_hex(16),
            "lease_until": real_now + timedelta(seconds=lease_s),
        }
        claim = update(runs).where(_c.run_id == run_id, _c.state == "queued").values(**taken).returning(runs)
        row = (await connection.execute(claim)).one_or_none()
        if row is not None:  # else it has just been cancelled
            return _run(row)
    return None


def _turn(now: datetime) -> Any:
    at_work = (
        select(_c.installation_id, func.count().label("runs"))
        .where(_c.state == "running")
        .group_by(_c.installation_id)
        .subquery("at_work")
    )
    running = func.coalesce(at_work.c.runs, 0)
    return (
        select(_c.run_id)
        .join(budgets, budgets.c.installation_id == _c.installation_id)
        .outerjoin(at_work, at_work.c.installation_id == _c.installation_id)
        .where(_c.state == "queued", _c.not_before <= now, running < budgets.c.concurrency)
        .order_by(running, _c.queued_at, _c.run_id)
        .limit(1)
    )


@dataclass(frozen=True)
class Renewal:
    """Whether the lease is still held, and whether cancellation was requested."""

    held: bool
    cancel_asked: bool = False


async def renew_run(connection: AsyncConnection, run: Run, until: datetime, spent_minutes: float) -> Renewal:
    """Extend the lease. `spent_minutes`: of all attempts so far."""
    changes = {"lease_until": until, "spent_minutes": spent_minutes}
    row = (
        await connection.execute(update(runs).where(_held(run)).values(**changes).returning(_c.cancel_asked))
    ).one_or_none()
    return Renewal(False) if row is None else Renewal(True, row.cancel_asked)


async def note_progress(connection: AsyncConnection, run: Run, progress: Mapping[str, Any], now: datetime) -> None:
    """Save the progress. Raises LostLease."""
    await _change_held(connection, run, {"progress": dict(progress), "progress_at": now})


async def note_checkpoint(connection: AsyncConnection, run: Run, sha256: str) -> None:
    """Add a checkpoint that the run may resume from. Raises LostLease."""
    row = (await connection.execute(select(_c.checkpoints).where(_held(run)).with_for_update())).one_or_none()
    if row is None:
        raise LostLease(f"run {run.run_id}")
    await _change_held(connection, run, {"checkpoints": [*dict.fromkeys([*row.checkpoints, sha256])]})


async def finish_run(
    connection: AsyncConnection,
    run: Run,
    ending: RunEnding,
    reason: str | None,
    now: datetime,
    *,
    spent_minutes: float,
    result: Mapping[str, Any] | None = None,
    recipe_id: str | None = None,
    artifacts: str | None = None,
) -> None:
    """End a run from the GPU worker that holds it. Raises LostLease."""
    changes = _ended(ending, reason, now) | {
        "spent_minutes": spent_minutes,
        "result": None if result is None else dict(result),
        "recipe_id": recipe_id or "",
        "artifacts": artifacts or "",
    }
    await _change_held(connection, run, changes)


async def give_back_run(
    connection: AsyncConnection, run: Run, reason: str, not_before: datetime, *, counts: bool, spent_minutes: float
) -> None:
    """Requeue a run from the GPU worker that holds it, for another to continue. Raises LostLease."""
    attempts = _c.attempts if counts else case((_c.attempts > 0, _c.attempts - 1), else_=0)
    changes = {"state": "queued", "reason": reason, "not_before": not_before, "attempts": attempts}
    await _change_held(connection, run, changes | {"spent_minutes": spent_minutes} | _NO_LEASE)


async def expired_runs(connection: AsyncConnection, real_now: datetime) -> list[Run]:
    """Return and lock the runs whose lease expired, for the same `write()` to end or requeue."""
    expired = select(runs).where(_c.state == "running", _c.lease_until < real_now)
    return [_run(row) for row in await connection.execute(expired.with_for_update(skip_locked=True))]


async def requeue_run(connection: AsyncConnection, run: Run, reason: str, not_before: datetime) -> bool:
    """Requeue a run whose worker vanished. Return False if another worker holds it, or it ended."""
    changes = {"state": "queued", "reason": reason, "not_before": not_before, **_NO_LEASE}
    return (await connection.execute(update(runs).where(_held(run)).values(**changes))).rowcount == 1


async def end_run(connection: AsyncConnection, run: Run, ending: RunEnding, reason: str, now: datetime) -> bool:
    """End a run from a bot worker. Return False if it changed hands or ended since it was read.

    A GPU worker that holds it finds its lease lost at the next heartbeat.
    """
    unchanged = (
        _is(run.installation_id, run.run_id),
        _c.state == run.state,
        _c.lease_token == (run.lease_token or ""),
    )
    return (
        await connection.execute(update(runs).where(*unchanged).values(**_ended(ending, reason, now)))
    ).rowcount == 1


async def request_cancellation(connection: AsyncConnection, run: Run) -> bool:
    """Request that a running run ends at its worker's next heartbeat. Return False if it is not running."""
    running = _is(run.installation_id, run.run_id), _c.state == "running"
    return (await connection.execute(update(runs).where(*running).values(cancel_asked=True))).rowcount == 1


async def settle_run(connection: AsyncConnection, run: Run) -> bool:
    """Mark an ended run as applied. Return False if it was before, or has not ended."""
    ended = _is(run.installation_id, run.run_id), _c.state == "ended", _c.settled.is_(False)
    return (await connection.execute(update(runs).where(*ended).values(settled=True))).rowcount == 1


async def forget_artifacts(connection: AsyncConnection, run: Run) -> None:
    """Note that the run's files are deleted."""
    await connection.execute(update(runs).where(_is(run.installation_id, run.run_id)).values(artifacts=""))


async def ready_runs(connection: AsyncConnection, now: datetime, limit: int) -> list[int]:
    """Return the ids of queued runs that are due."""
    ready = select(_c.run_id).where(_c.state == "queued", _c.not_before <= now)
    return list((await connection.execute(ready.order_by(_c.queued_at, _c.run_id).limit(limit))).scalars())


async def all_runs(connection: AsyncConnection, state: RunState | None = None) -> list[Run]:
    """Return the runs of all installations, oldest first."""
    wanted = _c.state == state if state is not None else true()
    return [_run(row) for row in await connection.execute(select(runs).where(wanted).order_by(_c.run_id))]


def _ended(ending: RunEnding, reason: str | None, now: datetime) -> dict[str, Any]:
    return {"state": "ended", "ending": ending, "reason": reason or "", "open_key": None, "ended_at": now, **_NO_LEASE}


async def _change_held(connection: AsyncConnection, run: Run, changes: Mapping[str, Any]) -> None:
    if (await connection.execute(update(runs).where(_held(run)).values(**changes))).rowcount != 1:
        raise LostLease(f"run {run.run_id}")


def _is(installation_id: int, run_id: int) -> ColumnElement[bool]:
    return and_(_c.installation_id == installation_id, _c.run_id == run_id)


def _held(run: Run) -> ColumnElement[bool]:
    """Match the run's row while this lease holds it."""
    return and_(_is(run.installation_id, run.run_id), _c.state == "running", _c.lease_token == (run.lease_token or ""))


async def _newest(connection: AsyncConnection, *where: ColumnElement[bool]) -> Run | None:
    row = (await connection.execute(select(runs).where(*where).order_by(_c.run_id.desc()).limit(1))).one_or_none()
    return None if row is None else _run(row)


_NOT_OF_A_RUN: Final = frozenset({"open_key", "lease_until", "not_before"})
# NOT NULL columns that store 0 or "" for what is absent.
_ABSENT_IF_FALSY: Final = (
    "ending",
    "reason",
    "screening_id",
    "judged_run_id",
    "asked_by",
    "comment_id",
    "recipe_id",
    "pair_set_id",
    "budget_month",
    "worker",
    "lease_token",
    "artifacts",
)


def _run(row: Row[Any]) -> Run:
    values = {name: value for name, value in row._mapping.items() if name not in _NOT_OF_A_RUN}
    absent = {name: None for name in _ABSENT_IF_FALSY if not values[name]}
    return Run(**values | absent | {"checkpoints": tuple(row.checkpoints)})
