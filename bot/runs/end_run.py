"""End a run and, in the same transaction, request the job that reports it. No run ends in any other way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.jobs.arguments import RunEnded, request
from bot.records import Run, RunEnding
from bot.store.database import Connection
from bot.store.runs import end_run, finish_run, lock_run, request_cancellation


async def end_and_report(connection: Connection, run: Run, ending: RunEnding, reason: str, now: datetime) -> bool:
    """End a run from a bot worker. Return False if it changed hands or ended since it was read."""
    if not await end_run(connection, run, ending, reason, now):
        return False
    await _request_result(connection, run, now)
    return True


async def finish_and_report(
    connection: Connection,
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
    await finish_run(
        connection,
        run,
        ending,
        reason,
        now,
        spent_minutes=spent_minutes,
        result=result,
        recipe_id=recipe_id,
        artifacts=artifacts,
    )
    await _request_result(connection, run, now)


async def cancel(connection: Connection, run: Run, now: datetime, reason: str) -> bool:
    """End an idle run now and a running one at its worker's next heartbeat. Return False if it has ended already."""
    locked = await lock_run(connection, run.installation_id, run.run_id)
    if locked is None:
        return False
    if locked.state == "running":
        return await request_cancellation(connection, locked)
    return locked.state != "ended" and await end_and_report(connection, locked, "cancelled", reason, now)


async def _request_result(connection: Connection, run: Run, now: datetime) -> None:
    await request(connection, run.installation_id, run.repository_id, RunEnded(run.run_id), now)
