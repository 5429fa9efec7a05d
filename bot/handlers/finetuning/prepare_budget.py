"""The last step of a preparation: require enough data, estimate, reserve GPU minutes and queue."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import structlog

from bot.handlers.finetuning.prepare_checks import EndRun, Preparation
from bot.jobs.arguments import ReplyAboutRun, request
from bot.jobs.context import Done, JobContext, Outcome
from bot.messages.reasons import NO_BUDGET, too_few_fixes, too_few_functions
from bot.records import Run
from bot.runs.budget_rule import OutOfBudget, decide_reservation
from bot.runs.estimate import (
    LOADING_MINUTES,
    Minutes,
    Workload,
    estimate_minutes,
    load_model_size,
    seconds_per_token,
)
from bot.sandbox.pair_task import PairResult
from bot.store.budgets import (
    list_gpu_workers,
    load_budget,
    load_gpu_state,
    lock_reservations,
    month_of,
    newest_results,
    usage_of,
    usage_of_all,
)
from bot.store.database import Connection
from bot.store.runs import queue_run
from pipeline.finetuning.cost import ModelSize, rate_of
from pipeline.finetuning.recipe import MIN_POSITIVES, MIN_TRAINED_ON

log = structlog.get_logger(__name__)

MAX_RESULTS: Final = 5  # of earlier runs, from which the speed is estimated


def require_enough(run: Run, gathered: PairResult) -> None:
    """Raise EndRun if a GPU worker would refuse to train on so little."""
    if run.purpose == "score":
        return
    if gathered.trained_on < MIN_TRAINED_ON:
        raise EndRun("refused", too_few_functions(gathered.trained_on, MIN_TRAINED_ON))
    if gathered.positives < MIN_POSITIVES:
        raise EndRun("refused", too_few_fixes(gathered.positives, gathered.trained_on, MIN_POSITIVES))


async def reserve_and_queue(context: JobContext, prepared: Preparation, gathered: PairResult) -> Outcome:
    """Estimate, reserve and queue in one transaction. Raises EndRun, with nothing written."""
    run, now = prepared.run, context.now()
    size = await asyncio.to_thread(load_model_size, prepared.recipe.base_model)
    async with context.conclusion() as connection:
        await lock_reservations(connection)
        estimated = await _estimate(connection, prepared, gathered, size)
        minutes = estimated.minutes + LOADING_MINUTES
        await reserve(connection, run, minutes, now)
        queued = await queue_run(
            connection, run, pair_set_id=gathered.id, minutes=minutes, month=month_of(now), now=now
        )
        if queued:
            await request(connection, run.installation_id, run.repository_id, ReplyAboutRun(run.run_id), now)
    if queued:
        log.info("run_queued", run_id=run.run_id, minutes=minutes, by=estimated.source)
        await context.parts.announcer.announce_runs([run.run_id])
    return Done()


async def reserve(connection: Connection, run: Run, minutes: float, now: datetime) -> None:
    """Check the reservation against the budget and the server's ceiling. Raises EndRun, which rolls back."""
    budget = await load_budget(connection, run.installation_id, lock=True)
    if budget is None:
        raise EndRun("refused", NO_BUDGET)
    month = month_of(now)
    usage, server_usage = await usage_of(connection, run.installation_id, month), await usage_of_all(connection, month)
    decision = decide_reservation(minutes, budget, usage, await load_gpu_state(connection), server_usage, now)
    if isinstance(decision, OutOfBudget):
        raise EndRun("out_of_budget", decision.reason)


async def _estimate(
    connection: Connection, prepared: Preparation, gathered: PairResult, size: ModelSize | None
) -> Minutes:
    workers = await list_gpu_workers(connection)
    return estimate_minutes(
        Workload(prepared.run.purpose, gathered.train, gathered.scored),
        prepared.recipe,
        seconds_per_token=seconds_per_token(await newest_results(connection, prepared.run.base_model, MAX_RESULTS)),
        size=size,
        rate=rate_of(workers[0].device, workers[0].flops_per_s) if workers else None,
    )
