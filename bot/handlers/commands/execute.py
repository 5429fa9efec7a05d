"""What was decided about a command becomes rows, in the one transaction that ends its job.

A comment is answered by a comment. A button has no issue to answer on: what came of it is told by a check run, which
the job `result` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bot.commands.decide import Action, Join, Measure, RefusalKey, Refuse, Say, Start, Stop
from bot.commands.facts import Facts, recipe_here
from bot.jobs.context import Done, Outcome, Work
from bot.messages.replies import render_answer, render_cancelled, render_refusal
from bot.records import Run
from bot.runs.end_run import cancel
from bot.store.jobs import request_job
from bot.store.replies import make_reply
from bot.store.runs import RunRequest, load_run, open_run, open_runs

BY_A_COMMAND: Final = "it was cancelled by a command"


@dataclass(frozen=True)
class Asker:
    """Who asks, and where the answer goes."""

    account_id: int
    comment_id: int = 0  # 0: a button
    issue_number: int = 0
    head_sha: str = ""  # of the check run with the button


async def carry_out(work: Work, asker: Asker, action: Action, facts: Facts) -> Outcome:
    """Idempotent: where the job is done again, everything that it would make is found."""
    async with work.conclusion(_reason(action)) as connection:
        match action:
            case Start():
                await _start(connection, work, asker, action, facts)
            case Join(run):
                await _tell_of(connection, work, asker, run)
            case Stop():
                await _stop(connection, work, asker, facts)
            case Measure():
                arguments = {"force": True}
                await request_job(connection, *_ids(work), "screen", work.now(), arguments=arguments)
            case Say(command):
                await _say(connection, work, asker, render_answer(command, facts))
            case Refuse(key):
                await _refuse(connection, work, asker, key, facts)
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


async def _start(connection: Any, work: Work, asker: Asker, action: Start, facts: Facts) -> None:
    """Two who ask at the same moment get one run, and each an answer."""
    prediction = facts.screening
    assert prediction is not None  # decided
    request = RunRequest(
        purpose="judge",
        head_sha=facts.head_sha,
        base_model=action.base_model,
        recipe=recipe_here(work.parts.policy.recipe, facts.config),
        label_recipe_id=prediction.label_recipe_id,
        screening_id=prediction.screening_id,
        forced=action.forced,
        asked_by=asker.account_id,
        comment_id=asker.comment_id,
        config_hash=prediction.config_hash,
    )
    run, is_new = await open_run(connection, *_ids(work), request, work.now())
    if is_new:
        of_it = {"run_id": run.run_id}
        await request_job(connection, *_ids(work), "prepare", work.now(), key=str(run.run_id), arguments=of_it)
    await _tell_of(connection, work, asker, run)


async def _stop(connection: Any, work: Work, asker: Asker, facts: Facts) -> None:
    told: list[Run] = []
    for run in await open_runs(connection, *_ids(work)):
        await cancel(connection, run, work.now(), BY_A_COMMAND)
        after = await load_run(connection, work.installation_id, run.run_id)
        if after is not None:
            told.append(after)
            await _ask_for_reply(connection, after, work)
    await _say(connection, work, asker, render_cancelled(told, facts))


async def _refuse(connection: Any, work: Work, asker: Asker, key: RefusalKey, facts: Facts) -> None:
    if asker.comment_id:
        await _say(connection, work, asker, render_refusal(key, facts))
        return
    said = {"refused": key, "head_sha": asker.head_sha}
    await request_job(connection, *_ids(work), "result", work.now(), key="refused", arguments=said)


async def _say(connection: Any, work: Work, asker: Asker, text: str) -> None:
    reply = await make_reply(connection, *_ids(work), asker.comment_id, asker.issue_number, work.now(), text=text)
    key, of_it = f"reply/{reply.reply_id}", {"reply_id": reply.reply_id}
    await request_job(connection, *_ids(work), "reply", work.now(), key=key, arguments=of_it)


async def _tell_of(connection: Any, work: Work, asker: Asker, run: Run) -> None:
    """From now on the answer follows the run."""
    if asker.comment_id:
        ids, answers = _ids(work), (asker.comment_id, asker.issue_number)
        await make_reply(connection, *ids, *answers, work.now(), run_id=run.run_id)
        await _ask_for_reply(connection, run, work)
    else:
        key, queued = f"queued/{run.run_id}", {"queued": run.run_id}
        await request_job(connection, *_ids(work), "result", work.now(), key=key, arguments=queued)


async def _ask_for_reply(connection: Any, run: Run, work: Work) -> None:
    of_it = {"run_id": run.run_id}
    await request_job(connection, *_ids(work), "reply", work.now(), key=str(run.run_id), arguments=of_it)


def _ids(work: Work) -> tuple[int, int]:
    return work.installation_id, work.repository_id
