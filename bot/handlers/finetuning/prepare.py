"""Gather what a fine-tuning run reads, estimate it, reserve its minutes, queue it.

    1. the run waits still; the installation is active; who asked for it may ask still        preparation
    2. a child clones at the pinned commit and writes one file, which goes to the store       collecting
    3. one transaction: estimate, budget, queue; or the run ends, with a reason               queueing

Killed anywhere, all of it is done again: the file is the same, and only the transaction changes the run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from bot.github.errors import NotFound
from bot.handlers.finetuning.prepare_budget import queue, require_enough
from bot.handlers.finetuning.prepare_checks import Ends, look, require_active
from bot.handlers.finetuning.prepare_pairs import collect
from bot.handlers.screening.screen import decide as decide_after
from bot.jobs.context import Done, JobContext, Outcome
from bot.jobs.retry import Again, Failed, Gone, NotYet
from bot.messages.reasons import SUSPENDED, history_unreadable
from bot.records import Run, RunEnding
from bot.runs.end_run import end_and_tell
from bot.sandbox.screening_task import ScreeningFailed
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.runs import load_run
from pipeline.finetuning.artifact_store import StoreError

log = structlog.get_logger(__name__)

STORE_PAUSE: Final = timedelta(minutes=2)
_OUR_FAULT: Final = frozenset({"crash", "memory", "time"})


async def prepare(context: JobContext) -> Outcome:
    """A queued run; or one that ended, and its `result`; or, where it may pass, another try."""
    run_id = context.job.arguments.get("run_id")
    async with context.parts.database.read() as connection:
        run = await load_run(connection, context.installation_id, int(run_id or 0))
        installation = await load_installation(connection, context.installation_id)
    if run is None or run.repository_id != context.repository_id:
        return Done("no such run")
    if run.state != "waiting":
        return Done(f"it is {run.state} already")
    if installation is None:
        return Done("no such installation")
    try:
        require_active(installation)
        return await _prepare(context, run)
    except Ends as end:
        return await _end(context, run, end)


async def _prepare(context: JobContext, run: Run) -> Outcome:
    """Raises Ends."""
    prepared = await look(context, run)
    try:
        gathered = await collect(context, prepared)
    except ScreeningFailed as failure:
        raise _after(context, failure) from None
    except StoreError as problem:
        log.warning("pairs_not_kept", run_id=run.run_id, problem=str(problem))
        raise NotYet(context.now() + STORE_PAUSE, "the store of artifacts does not work", counts=True) from None
    require_enough(run, gathered)
    return await queue(context, prepared, gathered)


def _after(context: JobContext, failure: ScreeningFailed) -> Exception:
    """What to raise: another try where it may pass, else the end of the run."""
    log.info("not_gathered", failure=failure.kind, attempts=context.job.attempts)
    match decide_after(failure, context.job.attempts, context.now()):
        case Again(at, reason, counts):
            return NotYet(at, reason, counts=counts)
        case Gone(reason):
            return NotFound(reason)
        case Failed(reason):
            ending: RunEnding = "crashed" if failure.kind in _OUR_FAULT else "refused"
            return Ends(ending, reason if failure.kind == "moved" else history_unreadable(reason))


async def _end(context: JobContext, run: Run, end: Ends) -> Outcome:
    """It changes nothing where the run has ended meanwhile."""
    log.info("run_not_queued", run_id=run.run_id, ending=end.ending)
    async with context.conclusion(end.reason) as connection:
        await end_and_tell(connection, run, end.ending, end.reason, context.now())
        if end.reason == SUSPENDED:  # that may be over: ask
            await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()
