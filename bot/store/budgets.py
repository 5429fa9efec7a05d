"""GPU minutes: what each installation may spend in a month, what is spent or reserved, and the server's own limits.

A run belongs to the month in which it was reserved (UTC). What it may cost at most is reserved before it is queued and
counts as spent until it ends; then what it did cost counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Budget, GpuState, GpuWorker, Usage
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.tables import budgets, gpu_workers, removed_minutes, runs
from bot.store.upsert import insert_into

GPU_STATE: Final = "gpu"


def month_of(at: datetime) -> str:
    """`2026-11`: the calendar month in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m")


async def set_budget(
    connection: AsyncConnection, installation_id: int, monthly_minutes: float, concurrency: int, now: datetime
) -> None:
    values = {"monthly_minutes": monthly_minutes, "concurrency": concurrency, "set_at": now}
    await connection.execute(
        insert_into(connection, budgets)
        .values(installation_id=installation_id, **values)
        .on_conflict_do_update(index_elements=["installation_id"], set_=values)
    )


async def remove_budget(connection: AsyncConnection, installation_id: int) -> bool:
    """Fine-tuning is off again. False: there was none."""
    removed = delete(budgets).where(budgets.c.installation_id == installation_id)
    return (await connection.execute(removed)).rowcount == 1


async def load_budget(connection: AsyncConnection, installation_id: int, *, lock: bool = False) -> Budget | None:
    """With `lock`, nobody else reserves from it until the transaction ends. None: fine-tuning is off."""
    wanted = select(budgets).where(budgets.c.installation_id == installation_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else Budget(**row._mapping)


async def all_budgets(connection: AsyncConnection) -> list[Budget]:
    rows = await connection.execute(select(budgets).order_by(budgets.c.installation_id))
    return [Budget(**row._mapping) for row in rows]


async def usage_of(connection: AsyncConnection, installation_id: int, month: str) -> Usage:
    """Minutes of an installation in a month (`month_of`)."""
    mine = runs.c.installation_id == installation_id, runs.c.budget_month == month
    removed = select(func.coalesce(func.sum(removed_minutes.c.minutes), 0.0)).where(
        removed_minutes.c.installation_id == installation_id, removed_minutes.c.budget_month == month
    )
    return await _usage(connection, select(*_sums()).where(*mine), removed)


async def usage_of_all(connection: AsyncConnection, month: str) -> Usage:
    """Minutes of all installations in a month, those that are gone included."""
    removed = select(func.coalesce(func.sum(removed_minutes.c.minutes), 0.0)).where(
        removed_minutes.c.budget_month == month
    )
    return await _usage(connection, select(*_sums()).where(runs.c.budget_month == month), removed)


async def spent_by_repository(connection: AsyncConnection) -> dict[tuple[int, int], float]:
    """Minutes that the runs of each repository have spent, in all months: by installation and repository."""
    ids = runs.c.installation_id, runs.c.repository_id
    rows = await connection.execute(select(*ids, func.sum(runs.c.spent_minutes).label("minutes")).group_by(*ids))
    return {(row.installation_id, row.repository_id): float(row.minutes) for row in rows}


async def load_gpu_state(connection: AsyncConnection) -> GpuState:
    found = await load_bookmark(connection, GPU_STATE)
    if not isinstance(found, dict):
        return GpuState()
    return GpuState(str(found.get("paused_because", "")), found.get("ceiling_minutes"))


async def save_gpu_state(connection: AsyncConnection, state: GpuState) -> None:
    saved = {"paused_because": state.paused_because, "ceiling_minutes": state.ceiling_minutes}
    await save_bookmark(connection, GPU_STATE, saved)


async def keep_minutes(
    connection: AsyncConnection, installation_id: int, repository_id: int | None, under: int
) -> None:
    """Before runs are deleted: what they cost or reserved stays counted, `under` this installation (0: nobody's)."""
    mine = [runs.c.installation_id == installation_id, runs.c.budget_month != ""]
    if repository_id is not None:
        mine.append(runs.c.repository_id == repository_id)
    spent = select(runs.c.budget_month, func.sum(_cost()).label("minutes")).where(*mine).group_by(runs.c.budget_month)
    for row in (await connection.execute(spent)).all():
        await _add_removed(connection, under, row.budget_month, row.minutes)
    if repository_id is None and under != installation_id:
        await _move_removed(connection, installation_id, under)


async def note_gpu_worker(connection: AsyncConnection, worker: GpuWorker) -> None:
    values = {"device": worker.device, "flops_per_s": worker.flops_per_s, "seen_at": worker.seen_at}
    await connection.execute(
        insert_into(connection, gpu_workers)
        .values(name=worker.name, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )


async def list_gpu_workers(connection: AsyncConnection) -> list[GpuWorker]:
    """The one seen last comes first."""
    rows = await connection.execute(select(gpu_workers).order_by(gpu_workers.c.seen_at.desc(), gpu_workers.c.name))
    return [GpuWorker(**row._mapping) for row in rows]


async def forget_gpu_workers(connection: AsyncConnection, before: datetime) -> int:
    """Delete those not seen since then; return how many."""
    return (await connection.execute(delete(gpu_workers).where(gpu_workers.c.seen_at < before))).rowcount


def _cost() -> Any:
    """What a run has cost, or may cost at most."""
    most = case((runs.c.estimated_minutes > runs.c.spent_minutes, runs.c.estimated_minutes), else_=runs.c.spent_minutes)
    return case((runs.c.state == "ended", runs.c.spent_minutes), else_=most)


def _sums() -> tuple[Any, Any]:
    ended = runs.c.state == "ended"
    spent = func.coalesce(func.sum(case((ended, runs.c.spent_minutes), else_=0.0)), 0.0)
    reserved = func.coalesce(func.sum(case((ended, 0.0), else_=_cost())), 0.0)
    return spent.label("spent"), reserved.label("reserved")


async def _usage(connection: AsyncConnection, of_runs: Any, of_removed: Any) -> Usage:
    row = (await connection.execute(of_runs)).one()
    removed = (await connection.execute(of_removed)).scalar_one()
    return Usage(float(row.spent) + float(removed), float(row.reserved))


async def _add_removed(connection: AsyncConnection, installation_id: int, month: str, minutes: float) -> None:
    insert = insert_into(connection, removed_minutes).values(
        installation_id=installation_id, budget_month=month, minutes=minutes
    )
    more = {"minutes": removed_minutes.c.minutes + insert.excluded.minutes}
    await connection.execute(
        insert.on_conflict_do_update(index_elements=["installation_id", "budget_month"], set_=more)
    )


async def _move_removed(connection: AsyncConnection, installation_id: int, under: int) -> None:
    mine = removed_minutes.c.installation_id == installation_id
    for row in (await connection.execute(select(removed_minutes).where(mine))).all():
        await _add_removed(connection, under, row.budget_month, row.minutes)
    await connection.execute(delete(removed_minutes).where(mine))


_RESERVING: Final = 0x61737364  # the number of a lock of PostgreSQL's that whoever reserves holds


async def lock_reservations(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody else reserves, for any installation: the server's ceiling is one for all.

    SQLite needs none: its transactions that write are alone anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_RESERVING)))


async def newest_results(connection: AsyncConnection, base_model: str, limit: int) -> list[Mapping[str, Any]]:
    """Of runs that were judged with this model, of every installation, newest first."""
    judged = runs.c.purpose == "judge", runs.c.base_model == base_model, runs.c.result.is_not(None)
    found = select(runs.c.result).where(*judged).order_by(runs.c.run_id.desc()).limit(limit)
    return list((await connection.execute(found)).scalars())
