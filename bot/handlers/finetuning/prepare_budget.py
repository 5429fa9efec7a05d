"""A run whose file is gathered: enough to train on, an estimate, its minutes reserved, and its place in the queue."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Final

import structlog

from bot.handlers.finetuning.prepare_checks import Ends, Preparation
from bot.jobs.context import Done, JobContext, Outcome
from bot.messages.reasons import NO_BUDGET, too_few_fixes, too_few_functions
from bot.records import Run
from bot.runs.budget_rule import OutOfBudget, decide_reservation
from bot.runs.estimate import LOADING_MINUTES, Minutes, Workload, minutes_at_most, seconds_per_token
from bot.runs.model_sizes import size_of_model
from bot.sandbox.pair_task import PairResult
from bot.store.budgets import list_gpu_workers, load_budget, load_gpu_state, month_of, usage_of, usage_of_all
from bot.store.jobs import request_job
from bot.store.reserving import newest_results, reserve_alone
from bot.store.runs import queue_run
from pipeline.finetuning.cost import rate_of
from pipeline.finetuning.recipe import MIN_POSITIVES, MIN_TRAINED_ON

log = structlog.get_logger(__name__)

FEWEST_TRAINED_ON: Final = MIN_TRAINED_ON  # functions
FEWEST_POSITIVES: Final = MIN_POSITIVES
COUNTED_RESULTS: Final = 5  # of the last runs of a model, to tell how fast the next one will be


def require_enough(run: Run, gathered: PairResult) -> None:
    """What a GPU worker would refuse is told before it is queued."""
    if run.purpose == "score":
        return
    if gathered.trained_on < FEWEST_TRAINED_ON:
        raise Ends("refused", too_few_functions(gathered.trained_on, FEWEST_TRAINED_ON))
    if gathered.positives < FEWEST_POSITIVES:
        raise Ends("refused", too_few_fixes(gathered.positives, gathered.trained_on, FEWEST_POSITIVES))


async def queue(context: JobContext, prepared: Preparation, gathered: PairResult) -> Outcome:
    """Reserve and queue in one transaction, or raise Ends."""
    run, now = prepared.run, context.now()
    estimated = await _estimate(context, prepared, gathered)
    minutes, month, key = estimated.minutes + LOADING_MINUTES, month_of(now), str(run.run_id)
    async with context.conclusion() as connection:
        await reserve_alone(connection)
        await reserve(connection, run, minutes, now)
        queued = await queue_run(connection, run, pair_set_id=gathered.id, minutes=minutes, month=month, now=now)
        if queued:
            mine = run.installation_id, run.repository_id
            await request_job(connection, *mine, "reply", now, key=key, arguments={"run_id": run.run_id})
    if queued:
        log.info("run_queued", run_id=run.run_id, minutes=minutes, by=estimated.source)
        await context.parts.announcer.announce_runs([run.run_id])
    return Done()


async def reserve(connection: Any, run: Run, minutes: float, now: datetime) -> None:
    """Raises Ends where the budget, or the server, has too little left: nothing of the transaction is written then."""
    budget = await load_budget(connection, run.installation_id, lock=True)
    if budget is None:
        raise Ends("refused", NO_BUDGET)
    month = month_of(now)
    usage, server_usage = await usage_of(connection, run.installation_id, month), await usage_of_all(connection, month)
    decision = decide_reservation(minutes, budget, usage, await load_gpu_state(connection), server_usage, now)
    if isinstance(decision, OutOfBudget):
        raise Ends("out_of_budget", decision.reason)


async def _estimate(context: JobContext, prepared: Preparation, gathered: PairResult) -> Minutes:
    run, model = prepared.run, prepared.recipe.base_model
    async with context.parts.database.read() as connection:
        results = await newest_results(connection, run.base_model, COUNTED_RESULTS)
        workers = await list_gpu_workers(connection)
    return minutes_at_most(
        Workload(run.purpose, gathered.train, gathered.scored),
        prepared.recipe,
        seconds_per_token=seconds_per_token(results),
        size=await asyncio.to_thread(size_of_model, model),
        rate=rate_of(workers[0].device, workers[0].flops_per_s) if workers else None,
    )
