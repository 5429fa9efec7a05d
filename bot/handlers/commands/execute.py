"""What was decided about a command becomes rows, in the one transaction that ends its job.

A comment is answered by a comment. A button has no issue to answer on: what came of it is told by a check run, which
the job `result` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.commands.decide import Action, Join, Measure, RefusalKey, Refuse, Say, Start, Stop
from bot.commands.facts import Facts, recipe_here
from bot.jobs.context import Done, JobContext, Outcome
from bot.messages.reasons import CANCELLED_BY_COMMAND
from bot.messages.refusals import render_refusal_reply
from bot.messages.replies import render_answer, render_cancelled
from bot.records import Run
from bot.runs.end_run import cancel
from bot.store.jobs import request_job
from bot.store.replies import make_reply
from bot.store.runs import RunRequest, load_run, open_run, open_runs


@dataclass(frozen=True)
class Asker:
    """Who asks, and where the answer goes."""

    account_id: int
    comment_id: int = 0  # 0: a button
    issue_number: int = 0
    head_sha: str = ""  # of the check run with the button


async def carry_out(context: JobContext, asker: Asker, action: Action, facts: Facts) -> Outcome:
    """Idempotent: where the job is done again, everything that it would make is found."""
    async with context.conclusion(_reason(action)) as connection:
        match action:
            case Start():
                await _start(connection, context, asker, action, facts)
            case Join(run):
                await _tell_of(connection, context, asker, run)
            case Stop():
                await _stop(connection, context, asker, facts)
            case Measure():
                arguments = {"force": True}
                await request_job(connection, *_ids(context), "screen", context.now(), arguments=arguments)
            case Say(command):
                await _say(connection, context, asker, render_answer(command, facts))
            case Refuse(key):
                await _refuse(connection, context, asker, key, facts)
    return Done()


def is_refused(action: Action) -> bool:
    """Whether somebody asked for something that is not done."""
    return isinstance(action, Refuse) or (isinstance(action, Say) and action.is_unclear)


def _reason(action: Action) -> str:
    match action:
        case Refuse(key):
            return f"refused: {key}"
        case Measure():
            return "screens"
        case _:
            return type(action).__name__.lower()


async def _start(connection: Any, context: JobContext, asker: Asker, action: Start, facts: Facts) -> None:
    """Two who ask at the same moment get one run, and each an answer."""
    prediction = facts.screening
    assert prediction is not None  # decided
    request = RunRequest(
        purpose="judge",
        head_sha=facts.head_sha,
        base_model=action.base_model,
        recipe=recipe_here(context.parts.policy.recipe, facts.config),
        label_recipe_id=prediction.label_recipe_id,
        screening_id=prediction.screening_id,
        forced=action.forced,
        asked_by=asker.account_id,
        comment_id=asker.comment_id,
        config_hash=prediction.config_hash,
    )
    run, is_new = await open_run(connection, *_ids(context), request, context.now())
    if is_new:
        of_it = {"run_id": run.run_id}
        await request_job(connection, *_ids(context), "prepare", context.now(), key=str(run.run_id), arguments=of_it)
    await _tell_of(connection, context, asker, run)


async def _stop(connection: Any, context: JobContext, asker: Asker, facts: Facts) -> None:
    told: list[Run] = []
    for run in await open_runs(connection, *_ids(context)):
        await cancel(connection, run, context.now(), CANCELLED_BY_COMMAND)
        after = await load_run(connection, context.installation_id, run.run_id)
        if after is not None:
            told.append(after)
            await _ask_for_reply(connection, after, context)
    await _say(connection, context, asker, render_cancelled(told, facts))


async def _refuse(connection: Any, context: JobContext, asker: Asker, key: RefusalKey, facts: Facts) -> None:
    if asker.comment_id:
        await _say(connection, context, asker, render_refusal_reply(key, facts))
        return
    said = {"refused": key, "head_sha": asker.head_sha}
    await request_job(connection, *_ids(context), "result", context.now(), key="refused", arguments=said)


async def _say(connection: Any, context: JobContext, asker: Asker, text: str) -> None:
    reply = await make_reply(connection, *_ids(context), asker.comment_id, asker.issue_number, context.now(), text=text)
    key, of_it = f"reply/{reply.reply_id}", {"reply_id": reply.reply_id}
    await request_job(connection, *_ids(context), "reply", context.now(), key=key, arguments=of_it)


async def _tell_of(connection: Any, context: JobContext, asker: Asker, run: Run) -> None:
    """From now on the answer follows the run."""
    if asker.comment_id:
        ids, answers = _ids(context), (asker.comment_id, asker.issue_number)
        await make_reply(connection, *ids, *answers, context.now(), run_id=run.run_id)
        await _ask_for_reply(connection, run, context)
    else:
        key, queued = f"queued/{run.run_id}", {"queued": run.run_id}
        await request_job(connection, *_ids(context), "result", context.now(), key=key, arguments=queued)


async def _ask_for_reply(connection: Any, run: Run, context: JobContext) -> None:
    of_it = {"run_id": run.run_id}
    await request_job(connection, *_ids(context), "reply", context.now(), key=str(run.run_id), arguments=of_it)


def _ids(context: JobContext) -> tuple[int, int]:
    return context.installation_id, context.repository_id
