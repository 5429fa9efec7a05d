"""GPU minutes: monthly budgets, usage, reservations, and the limits and workers of the server.

A run belongs to the month of its reservation (UTC). Its maximal cost is reserved before it is queued and counts until
it ends; from then on its actual cost counts.
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
    """Return the calendar month in UTC, such as `2026-11`."""
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
    """Remove the budget, which turns fine-tuning off. Return False if there was none."""
    removed = delete(budgets).where(budgets.c.installation_id == installation_id)
    return (await connection.execute(removed)).rowcount == 1


async def load_budget(connection: AsyncConnection, installation_id: int, *, lock: bool = False) -> Budget | None:
    """Return the budget; None if fine-tuning is off. `lock` blocks other reservations from it until commit."""
    wanted = select(budgets).where(budgets.c.installation_id == installation_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return None if row is None else Budget(**row._mapping)


async def all_budgets(connection: AsyncConnection) -> list[Budget]:
    rows = await connection.execute(select(budgets).order_by(budgets.c.installation_id))
    return [Budget(**row._mapping) for row in rows]


async def usage_of(connection: AsyncConnection, installation_id: int, month: str) -> Usage:
    """Return the minutes of an installation in a month (`month_of`)."""
    mine = runs.c.installation_id == installation_id, runs.c.budget_month == month
    removed = select(func.coalesce(func.sum(removed_minutes.c.minutes), 0.0)).where(
        removed_minutes.c.installation_id == installation_id, removed_minutes.c.budget_month == month
    )
    return await _usage(connection, select(*_sums()).where(*mine), removed)


async def usage_of_all(connection: AsyncConnection, month: str) -> Usage:
    """Return the minutes of all installations in a month, including deleted ones."""
    removed = select(func.coalesce(func.sum(removed_minutes.c.minutes), 0.0)).where(
        removed_minutes.c.budget_month == month
    )
    return await _usage(connection, select(*_sums()).where(runs.c.budget_month == month), removed)


async def spent_by_repository(connection: AsyncConnection) -> dict[tuple[int, int], float]:
    """Return the minutes spent in all months, by installation and repository."""
    ids = runs.c.installation_id, runs.c.repository_id
    rows = await connection.execute(select(*ids, func.sum(runs.c.spent_minutes).label("minutes")).group_by(*ids))
    return {(row.installation_id, row.repository_id): float(row.minutes) for row in rows}


async def load_gpu_state(connection: AsyncConnection) -> GpuState:
    stored = await load_bookmark(connection, GPU_STATE)
    if not isinstance(stored, dict):
        return GpuState()
    return GpuState(str(stored.get("paused_because", "")), stored.get("ceiling_minutes"))


async def save_gpu_state(connection: AsyncConnection, state: GpuState) -> None:
    saved = {"paused_because": state.paused_because, "ceiling_minutes": state.ceiling_minutes}
    await save_bookmark(connection, GPU_STATE, saved)


async def keep_minutes(
    connection: AsyncConnection, installation_id: int, repository_id: int | None, under: int
) -> None:
    """Keep the minutes of runs that are about to be deleted, counted `under` an installation (0: the server alone)."""
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
    """Return the GPU workers, the most recently seen first."""
    rows = await connection.execute(select(gpu_workers).order_by(gpu_workers.c.seen_at.desc(), gpu_workers.c.name))
    return [GpuWorker(**row._mapping) for row in rows]


async def forget_gpu_workers(connection: AsyncConnection, before: datetime) -> int:
    """Delete the workers not seen since `before`, and return their number."""
    return (await connection.execute(delete(gpu_workers).where(gpu_workers.c.seen_at < before))).rowcount


def _cost() -> Any:
    """Return what a run has cost, or may cost at most while it is open."""
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


_RESERVATION_LOCK: Final = 0x61737364  # an advisory lock of PostgreSQL


async def lock_reservations(connection: AsyncConnection) -> None:
    """Serialize reservations until commit, because all installations share the server's ceiling.

    SQLite needs no lock, because its write transactions are serial anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_RESERVATION_LOCK)))


async def newest_results(connection: AsyncConnection, base_model: str, limit: int) -> list[Mapping[str, Any]]:
    """Return the results of judged runs with this model across installations, newest first."""
    judged = runs.c.purpose == "judge", runs.c.base_model == base_model, runs.c.result.is_not(None)
    newest = select(runs.c.result).where(*judged).order_by(runs.c.run_id.desc()).limit(limit)
    return list((await connection.execute(newest)).scalars())
