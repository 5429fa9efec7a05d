"""Prepare a fine-tuning run: gather its input, estimate it, reserve its minutes and queue it.

    1. check that the run still waits, the installation is active and its requester is still permitted  prepare_checks
    2. let a child process clone the pinned commit and write one file, and store that                   prepare_pairs
    3. in one transaction, estimate, reserve and queue the run, or end it with a reason                  prepare_budget

After a crash everything is repeated: the file is the same, and only the transaction changes the run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from bot.github.errors import NotFound
from bot.handlers.finetuning.prepare_budget import require_enough, reserve_and_queue
from bot.handlers.finetuning.prepare_checks import (
    EndRun,
    PrepareState,
    check,
    load_state,
    require_active,
)
from bot.handlers.finetuning.prepare_pairs import gather
from bot.handlers.screening.screen import decide as decide_after
from bot.jobs.arguments import parse_prepare
from bot.jobs.context import Done, JobContext, Outcome
from bot.jobs.retry import Again, Failed, Gone, NotYet, StillAway
from bot.messages.reasons import SUSPENDED, history_unreadable
from bot.records import Run, RunEnding
from bot.runs.end_run import end_and_report
from bot.sandbox.screening_task import ScreeningFailed
from bot.store.jobs import request_job
from pipeline.finetuning.artifact_store import StoreError

log = structlog.get_logger(__name__)

STORE_PAUSE: Final = timedelta(minutes=2)
_OUR_FAULT: Final = frozenset({"crash", "killed", "memory", "time"})


async def prepare(context: JobContext) -> Outcome:
    """Queue the run; or end it and request its `result`; or retry what may work later."""
    state = await load_state(context, parse_prepare(context.job.arguments).run_id)
    if state is None or state.run.repository_id != context.repository_id:
        return Done("no such run")
    if state.run.state != "waiting":
        return Done(f"it is {state.run.state} already")
    if state.installation is None:
        return Done("no such installation")
    try:
        require_active(state.installation)
        return await _prepare(context, state)
    except EndRun as end:
        return await _end(context, state.run, end)


async def _prepare(context: JobContext, state: PrepareState) -> Outcome:
    """Check, gather, reserve and queue. Raises EndRun."""
    prepared = await check(context, state)
    try:
        gathered = await gather(context, prepared)
    except ScreeningFailed as failure:
        raise _after(context, failure) from None
    except StoreError as error:
        log.warning("pairs_not_stored", run_id=state.run.run_id, problem=str(error))
        raise NotYet(context.now() + STORE_PAUSE, "the artifact store is unavailable", counts=True) from None
    require_enough(state.run, gathered)
    return await reserve_and_queue(context, prepared, gathered)


def _after(context: JobContext, failure: ScreeningFailed) -> Exception:
    """Return what to raise: a retry if the failure may pass, else the end of the run."""
    log.info("pairs_not_gathered", failure=failure.kind, attempts=context.job.attempts)
    match decide_after(failure, context.job.attempts, context.now()):
        case StillAway() as away:
            return away
        case Again(at, reason, counts):
            return NotYet(at, reason, counts=counts)
        case Gone(reason):
            return NotFound(reason)
        case Failed(reason):
            ending: RunEnding = "crashed" if failure.kind in _OUR_FAULT else "refused"
            return EndRun(ending, reason if failure.kind == "moved" else history_unreadable(reason))


async def _end(context: JobContext, run: Run, end: EndRun) -> Outcome:
    """End the run, unless it has ended meanwhile."""
    log.info("run_not_queued", run_id=run.run_id, ending=end.ending)
    async with context.conclusion(end.reason) as connection:
        await end_and_report(connection, run, end.ending, end.reason, context.now())
        if end.reason == SUSPENDED:  # the suspension may be over
            await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()
