"""Handle the end of a run: apply its outcome, and post the check run `assay/finetune` at its commit.

    1. apply the outcome once: calibration set, threshold, what ranks from now on            apply_outcome.py
    2. write the check run once: save its row, send it, look for it after a crash            check_run_writer.py
    3. request an update of the comment that replies to the command

Every run passes here, whatever its ending. The same job replies to a button, which has no comment to reply to, and
serves "re-run", which posts what is stored and starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from bot.calibration.ledger_records import NotCounted
from bot.calibration.record import change_of, reason_not_recorded
from bot.handlers.finetuning.apply_outcome import apply_outcome
from bot.jobs.arguments import ReplyAboutRun, RunEnded, RunQueued, RunRefused, ShowAgain, parse_result, request
from bot.jobs.check_run_writer import adopt, conclusion, create, reserve
from bot.jobs.context import WRITE_CHECKS, Done, JobContext, Later, Outcome
from bot.messages.check_run import FINETUNE
from bot.messages.finetune_check import finetune_check, nothing_check, refusal_check, started_check
from bot.messages.finetune_context import FinetuneContext, ThresholdChange
from bot.records import CheckRunFields, Installation, RepositoryMemory, Run, StoredCheckRun
from bot.runs.active_ranking import is_visible, load_active_ranking
from bot.store.check_runs import posted_as, posted_for_run, posted_on, unposted_check_runs
from bot.store.database import Connection
from bot.store.installations import load_installation
from bot.store.repositories import load_repository
from bot.store.runs import load_run, runs_of
from bot.store.screenings import load_screening
from pipeline.json_fields import MalformedError

SUSPENDED_PAUSE: Final = timedelta(hours=1)
NOTHING_TO_SHOW: Final = "there is nothing to show again"
WITHOUT_EFFECT: Final = frozenset({NOTHING_TO_SHOW})  # of a "re-run"
ResultArguments = RunEnded | RunQueued | RunRefused | ShowAgain


@dataclass(frozen=True)
class ResultState:
    """Everything in the store that a result depends on."""

    installation: Installation
    memory: RepositoryMemory
    run: Run | None  # the run that it is about
    posted: StoredCheckRun | None  # the check run that shows the run's end, or is to be shown again
    unposted: tuple[StoredCheckRun, ...]  # GitHub may or may not have them
    shown: FinetuneContext  # the context of the check run

    @property
    def full_name(self) -> str:
        return self.memory.repository.full_name


async def result(context: JobContext) -> Outcome:
    """Apply and post a run that ended; or reply to a button; or post a stored result again."""
    arguments = parse_result(context.job.arguments)
    state = await _load(context, arguments)
    if state is None:
        if later := await context.until_listed():
            return later
        state = await _load(context, arguments)  # it may just have been listed
    if state is None:
        return Done("no such repository")
    match arguments:
        case RunEnded():
            return await _ended(context, arguments, state)
        case _ if reason := _why_silent(context, state):
            return Done(reason)
        case RunQueued():
            return await _started(context, state)
        case RunRefused(refusal, head_sha):
            if not head_sha:
                return Done("there is no commit to post it on")
            return await _write(context, state, refusal_check(refusal, state.shown))
        case ShowAgain():
            return await _show_again(context, state)


async def _load(context: JobContext, arguments: ResultArguments) -> ResultState | None:
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        run, posted = await _load_subject(connection, ids, arguments)
        head_sha = _head_sha(arguments, run, posted)
        comments_enabled = installation.permissions.get("issues") == "write"
        shown = FinetuneContext(memory.repository.full_name, head_sha, "", comments_enabled=comments_enabled)
        if run is not None and run.ending == "finished":
            shown = await _load_shown(connection, context, run, shown)
        unposted = tuple(await unposted_check_runs(connection, *ids, FINETUNE))
        return ResultState(installation, memory, run, posted, unposted, shown)


async def _load_subject(
    connection: Connection, ids: tuple[int, int], arguments: ResultArguments
) -> tuple[Run | None, StoredCheckRun | None]:
    """Load the run that a result is about, and the check run that shows it."""
    match arguments:
        case RunEnded(run_id):
            return await load_run(connection, ids[0], run_id), await posted_for_run(connection, *ids, run_id)
        case RunQueued(run_id):
            return await load_run(connection, ids[0], run_id), None
        case RunRefused():
            return None, None
        case ShowAgain(head_sha, external_id):
            posted = await posted_as(connection, *ids, external_id) or await posted_on(connection, *ids, head_sha)
            if posted is None:
                return None, None
            judged = await runs_of(connection, *ids, "judge")
            if posted.run_id:
                return next((run for run in judged if run.run_id == posted.run_id), None), posted
            return next((run for run in judged if run.head_sha == posted.head_sha), None), posted


def _head_sha(arguments: ResultArguments, run: Run | None, posted: StoredCheckRun | None) -> str:
    """Return the commit to post on."""
    match arguments:
        case RunRefused(_, head_sha):
            return head_sha
        case ShowAgain():
            return posted.head_sha if posted is not None else ""
        case _:
            return run.head_sha if run is not None else ""


async def _load_shown(connection: Connection, context: JobContext, run: Run, shown: FinetuneContext) -> FinetuneContext:
    ids = run.installation_id, run.repository_id
    active = await load_active_ranking(connection, *ids)
    next_step, why_not = active.next_step(run, visible=await is_visible(connection, context.parts.policy, *ids))
    change, not_counted = await _load_change(connection, context, run)
    return replace(
        shown,
        predicted=await load_screening(connection, run.installation_id, run.screening_id),
        change=change,
        not_counted=not_counted,
        next_step=next_step,
        why_not=why_not,
    )


async def _load_change(
    connection: Connection, context: JobContext, run: Run
) -> tuple[ThresholdChange | None, NotCounted | None]:
    """Return the effect of the outcome on the threshold, or why it had none."""
    try:
        change = await change_of(connection, context.parts.calibrations, run)
    except MalformedError:  # stored by another release
        return None, None
    if change is None:
        obstacle = await reason_not_recorded(connection, run)
        return None, NotCounted(obstacle) if obstacle else None
    if change.not_counted:
        return None, change.not_counted
    return ThresholdChange(change.before.value, change.after.value, len(change.flipped), change.judged), None


def _why_silent(context: JobContext, state: ResultState) -> str:
    """Return why nothing is posted on GitHub; empty if something is."""
    if state.installation.state != "active":
        return state.installation.state
    if state.memory.repository.archived:
        return "archived"
    return "only observing" if context.parts.policy.mode == "observe" else ""


async def _ended(context: JobContext, arguments: RunEnded, state: ResultState) -> Outcome:
    run = state.run
    if run is None or run.state != "ended":
        return Done("it has not ended")
    if not run.settled:
        await apply_outcome(context, run)
        state = await _load(context, arguments) or state  # what is shown depends on what was just applied
    if run.purpose != "judge":
        return await _conclude(context, run.judged_run_id, "it has no check run of its own")
    if state.installation.state == "suspended":
        return Later(context.now() + SUSPENDED_PAUSE, "suspended")
    if reason := _why_silent(context, state):
        return await _conclude(context, run.run_id, reason)
    if state.posted is not None:
        return await _conclude(context, run.run_id, "written before")
    return await _write(context, state, finetune_check(run, state.shown), run)


async def _started(context: JobContext, state: ResultState) -> Outcome:
    if state.run is None or state.run.state == "ended":
        return Done("it has ended, and its result is posted by another job")
    return await _write(context, state, started_check(state.run, state.shown))


async def _show_again(context: JobContext, state: ResultState) -> Outcome:
    """Post what is stored as a new check run, because GitHub waits for one. This costs no GPU time."""
    if state.posted is None:
        return Done(NOTHING_TO_SHOW)
    if state.run is None:
        return await _write(context, state, nothing_check(state.shown))
    if state.run.state != "ended":
        return await _write(context, state, started_check(state.run, state.shown))
    return await _write(context, state, finetune_check(state.run, state.shown), state.run)


async def _write(context: JobContext, state: ResultState, fields: CheckRunFields, run: Run | None = None) -> Outcome:
    """Write a new completed check run. `run`: the run whose end it shows."""
    run_id = run.run_id if run else None
    adopted = await adopt(context, state.full_name, state.unposted)
    if any(_answers(row, context, fields, run_id) for row in adopted):
        return await _conclude(context, run_id, "written before")
    reserved = await reserve(context, fields, screening_id=run.screening_id if run else None, run_id=run_id)
    if isinstance(reserved, Later):
        return reserved
    client = await context.client(WRITE_CHECKS)
    named = replace(fields, external_id=reserved.row.external_id)
    check_run_id = await create(context, state.full_name, client, named, reserved, commit_may_be_gone=True)
    if check_run_id is None:
        return await _conclude(context, run_id, "that commit is not of this repository")
    async with conclusion(context, reserved, check_run_id) as connection:
        await _request_reply(connection, context, run_id)
    return Done()


async def _conclude(context: JobContext, run_id: int | None, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await _request_reply(connection, context, run_id)
    return Done()


async def _request_reply(connection: Connection, context: JobContext, run_id: int | None) -> None:
    if run_id is not None:
        ids = context.installation_id, context.repository_id
        await request(connection, *ids, ReplyAboutRun(run_id), context.now())


def _answers(row: StoredCheckRun, context: JobContext, fields: CheckRunFields, run_id: int | None) -> bool:
    """Return whether a check run that a crashed attempt wrote is the one to write now.

    The end of a run is posted once, whenever that was. A button or a "re-run" needs one that was written since.
    """
    if (row.head_sha, row.run_id) != (fields.head_sha, run_id or 0):
        return False
    return isinstance(parse_result(context.job.arguments), RunEnded) or row.made_at >= context.job.made_at
