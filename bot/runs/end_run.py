"""The one door out of a run: whoever ends it asks, in the same transaction, for the job that tells what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.records import Run, RunEnding
from bot.store.database import Connection
from bot.store.jobs import request_job
from bot.store.runs import ask_to_cancel, end_run, finish_run, lock_run


async def end_and_tell(connection: Connection, run: Run, ending: RunEnding, reason: str, now: datetime) -> bool:
    """By a bot worker, whoever holds the run. False: it has changed hands or ended since `run` was read."""
    if not await end_run(connection, run, ending, reason, now):
        return False
    await _ask_for_result(connection, run, now)
    return True


async def finish_and_tell(
    connection: Connection,
    run: Run,
    ending: RunEnding,
    reason: str,
    now: datetime,
    *,
    spent_minutes: float,
    result: Mapping[str, Any] | None = None,
    recipe_id: str = "",
    artifacts: str = "",
) -> None:
    """By the GPU worker that holds it. Raises LostLease."""
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
    await _ask_for_result(connection, run, now)


async def cancel(connection: Connection, run: Run, now: datetime, reason: str) -> bool:
    """One that nobody works on ends now, a running one at its worker's next heartbeat. False: it has ended."""
    found = await lock_run(connection, run.installation_id, run.run_id)
    if found is None:
        return False
    if found.state == "running":
        return await ask_to_cancel(connection, found)
    return found.state != "ended" and await end_and_tell(connection, found, "cancelled", reason, now)


async def _ask_for_result(connection: Connection, run: Run, now: datetime) -> None:
    await request_job(
        connection,
        run.installation_id,
        run.repository_id,
        "result",
        now,
        key=str(run.run_id),
        arguments={"run_id": run.run_id},
    )
