"""Apply a finished run exactly once: record its outcome, and select what ranks the repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.calibration.record import record_outcome
from bot.jobs.arguments import PostJob, ScreenJob, request
from bot.jobs.context import JobContext
from bot.records import Run
from bot.runs.active_ranking import is_visible, load_active_ranking, request_scores, shortlist_in
from bot.store.database import Connection
from bot.store.runs import settle_run
from bot.store.screenings import newest_screening, save_ranking
from pipeline.reports.finetune_figures import BASELINE


async def apply_outcome(context: JobContext, run: Run) -> None:
    """Apply the run unless that was done before. A result older than the newest counts, but does not select."""
    async with context.effect() as connection:
        if not await settle_run(connection, run):
            return
        if run.purpose == "judge":
            await record_outcome(connection, context.parts.calibrations, run, context.now())
            await _select_ranker(connection, context, run)
        else:
            await _save_ranking(connection, context, run)


async def _select_ranker(connection: Connection, context: JobContext, run: Run) -> None:
    """Request the refit of an adapter that won, or return to the baseline after one that did not."""
    active = await load_active_ranking(connection, run.installation_id, run.repository_id)
    if active.by_adapter:
        await _request_scores(connection, context, run)
    elif await _is_ranked_by_adapter(connection, run):
        # Only a new measurement produces the baseline's ranking.
        await request(connection, run.installation_id, run.repository_id, ScreenJob(force=True), context.now())


async def _save_ranking(connection: Connection, context: JobContext, run: Run) -> None:
    """Store the ranking with the newest screening, and have the check run show it or say why there is none."""
    ids = run.installation_id, run.repository_id
    active = await load_active_ranking(connection, *ids)
    if active.judged is None or active.judged.run_id != run.judged_run_id:
        return  # a newer outcome decides
    if not await is_visible(connection, context.parts.policy, *ids):
        return
    ranking = shortlist_in(run) if run.ending == "finished" else None
    if ranking is not None and not await save_ranking(connection, *ids, run.head_sha, ranking):
        await _request_scores(connection, context, run)  # the head has moved on
    await request(connection, *ids, PostJob(again=True), context.now())


async def _request_scores(connection: Connection, context: JobContext, run: Run) -> None:
    ids, now = (run.installation_id, run.repository_id), context.now()
    if await request_scores(connection, context.parts.policy, *ids, now):
        await request(connection, *ids, PostJob(again=True), now)


async def _is_ranked_by_adapter(connection: Connection, run: Run) -> bool:
    newest = await newest_screening(connection, run.installation_id, run.repository_id)
    ranking: Mapping[str, Any] = (newest.ranking if newest else None) or {}
    return bool(ranking) and ranking.get("scorer") != BASELINE
