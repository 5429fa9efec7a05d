"""Apply a command's decision in the transaction that ends its job.

A comment gets a comment in reply. A button has no issue to reply on, so the job `result` writes a check run instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.commands.decide import Action, Join, Measure, RefusalKey, Refuse, Say, Start, Stop
from bot.commands.facts import Facts, recipe_here
from bot.jobs.arguments import (
    PrepareJob,
    ReplyAboutRun,
    ReplyWithText,
    RunQueued,
    RunRefused,
    ScreenJob,
    request,
)
from bot.jobs.context import Done, JobContext, Outcome
from bot.messages.reasons import CANCELLED_BY_COMMAND
from bot.messages.refusals import render_refusal_reply
from bot.messages.replies import render_cancelled, render_reply
from bot.records import Run
from bot.runs.end_run import cancel
from bot.store.database import Connection
from bot.store.reply_comments import create_reply
from bot.store.runs import RunRequest, load_run, open_run, open_runs


@dataclass(frozen=True)
class Requester:
    """The account that gave a command, and where the reply goes."""

    account_id: int
    comment_id: int | None = None  # none: a button
    issue_number: int = 0
    head_sha: str = ""  # of the check run with the button


async def execute(context: JobContext, requester: Requester, action: Action, facts: Facts) -> Outcome:
    """Apply the action. Idempotent: a repeated job finds the rows that it would create."""
    async with context.conclusion(_reason(action)) as connection:
        match action:
            case Start():
                await _start(connection, context, requester, action, facts)
            case Join(run):
                await _follow(connection, context, requester, run)
            case Stop():
                await _stop(connection, context, requester, facts)
            case Measure():
                await request(connection, *_ids(context), ScreenJob(force=True), context.now())
            case Say(command):
                await _reply(connection, context, requester, render_reply(command, facts))
            case Refuse(key):
                await _refuse(connection, context, requester, key, facts)
    return Done()


def is_refused(action: Action) -> bool:
    """Return whether the command is not carried out."""
    return isinstance(action, Refuse) or (isinstance(action, Say) and action.is_unclear)


def _reason(action: Action) -> str:
    match action:
        case Refuse(key):
            return f"refused: {key}"
        case Measure():
            return "screens"
        case _:
            return type(action).__name__.lower()


async def _start(
    connection: Connection, context: JobContext, requester: Requester, action: Start, facts: Facts
) -> None:
    """Open the run, or join the one that a concurrent command opened."""
    prediction = facts.screening
    assert prediction is not None  # `decide` refuses otherwise
    run_request = RunRequest(
        purpose="judge",
        head_sha=facts.head_sha,
        base_model=action.base_model,
        recipe=recipe_here(context.parts.policy.recipe, facts.config),
        label_recipe_id=prediction.label_recipe_id,
        screening_id=prediction.screening_id,
        forced=action.forced,
        asked_by=requester.account_id,
        comment_id=requester.comment_id,
        config_hash=prediction.config_hash,
    )
    run, is_new = await open_run(connection, *_ids(context), run_request, context.now())
    if is_new:
        await request(connection, *_ids(context), PrepareJob(run.run_id), context.now())
    await _follow(connection, context, requester, run)


async def _stop(connection: Connection, context: JobContext, requester: Requester, facts: Facts) -> None:
    cancelled: list[Run] = []
    for run in await open_runs(connection, *_ids(context)):
        await cancel(connection, run, context.now(), CANCELLED_BY_COMMAND)
        after = await load_run(connection, context.installation_id, run.run_id)
        if after is not None:
            cancelled.append(after)
            await request(connection, *_ids(context), ReplyAboutRun(after.run_id), context.now())
    await _reply(connection, context, requester, render_cancelled(cancelled, facts))


async def _refuse(
    connection: Connection, context: JobContext, requester: Requester, key: RefusalKey, facts: Facts
) -> None:
    if requester.comment_id:
        await _reply(connection, context, requester, render_refusal_reply(key, facts))
    else:
        await request(connection, *_ids(context), RunRefused(key, requester.head_sha), context.now())


async def _reply(connection: Connection, context: JobContext, requester: Requester, text: str) -> None:
    """Write a comment with a fixed text."""
    comment = requester.comment_id or 0, requester.issue_number
    reply = await create_reply(connection, *_ids(context), *comment, context.now(), text=text)
    await request(connection, *_ids(context), ReplyWithText(reply.reply_id), context.now())


async def _follow(connection: Connection, context: JobContext, requester: Requester, run: Run) -> None:
    """Write a comment that follows the run until its end, or for a button one check run."""
    if requester.comment_id:
        comment = requester.comment_id, requester.issue_number
        await create_reply(connection, *_ids(context), *comment, context.now(), run_id=run.run_id)
        await request(connection, *_ids(context), ReplyAboutRun(run.run_id), context.now())
    else:
        await request(connection, *_ids(context), RunQueued(run.run_id), context.now())


def _ids(context: JobContext) -> tuple[int, int]:
    return context.installation_id, context.repository_id
