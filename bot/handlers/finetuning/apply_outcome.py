"""What follows from a run that ended, in one transaction and once: its outcome counts, and who ranks may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.calibration.record import record_outcome
from bot.jobs.context import JobContext
from bot.records import Run
from bot.runs.active_ranking import ask_for_scores, is_seen, load_active_ranking, shortlist_in
from bot.store.database import Connection
from bot.store.jobs import request_job
from bot.store.runs import settle_run
from bot.store.screenings import newest_screening, save_ranking
from pipeline.reports.finetune_figures import BASELINE

AGAIN: Final[Mapping[str, bool]] = {"again": True}


async def settle(context: JobContext, run: Run) -> None:
    """Nothing where that was done before. A result that comes after a newer one is counted, and overrules nothing."""
    async with context.effect() as connection:
        if not await settle_run(connection, run):
            return
        if run.purpose == "judge":
            await record_outcome(connection, context.parts.calibrations, run, context.now())
            await _follow(connection, context, run)
        else:
            await _rank(connection, context, run)


async def _follow(connection: Connection, context: JobContext, run: Run) -> None:
    """Who ranks from now on: an adapter is trained once more, or the baseline takes over again."""
    in_force = await load_active_ranking(connection, run.installation_id, run.repository_id)
    if in_force.by_adapter:
        await _ask(connection, context, run)
    elif await _is_by_adapter(connection, run):
        arguments = {"force": True}  # measured again, because nothing else makes the baseline's ranking
        await request_job(
            connection, run.installation_id, run.repository_id, "screen", context.now(), arguments=arguments
        )


async def _rank(connection: Connection, context: JobContext, run: Run) -> None:
    """A ranking takes its place beside the newest screening; where there is none, the check run says why."""
    ids = run.installation_id, run.repository_id
    in_force = await load_active_ranking(connection, *ids)
    if in_force.judged is None or in_force.judged.run_id != run.judged_run_id:
        return  # a newer outcome decides
    if not await is_seen(connection, context.parts.policy, *ids):
        return
    ranking = shortlist_in(run) if run.ending == "finished" else None
    if ranking is not None and not await save_ranking(connection, *ids, run.head_sha, ranking):
        await _ask(connection, context, run)  # the head has moved on meanwhile
    await request_job(connection, *ids, "post", context.now(), arguments=AGAIN)


async def _ask(connection: Connection, context: JobContext, run: Run) -> None:
    if await ask_for_scores(connection, context.parts.policy, run.installation_id, run.repository_id, context.now()):
        await request_job(connection, run.installation_id, run.repository_id, "post", context.now(), arguments=AGAIN)


async def _is_by_adapter(connection: Connection, run: Run) -> bool:
    newest = await newest_screening(connection, run.installation_id, run.repository_id)
    ranking: Mapping[str, Any] = (newest.ranking if newest else None) or {}
    return bool(ranking) and ranking.get("scorer") != BASELINE
