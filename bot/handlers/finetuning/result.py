"""What a fine-tuning run came to: into the calibration set, and as the check run `assay/finetune` at its commit.

    1. settle, once: outcome, threshold, who ranks from now on                                  settling.py
    2. write the check run, once for each run: the row first, looked for after a crash          check_writing.py
    3. ask for the comment that answers the command to be brought up to date

However a run ended it passes here. The same job answers a button, which has no comment to be answered by, and
"re-run", which shows what is stored and starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from bot.calibration.record import change_of, reason_not_recorded
from bot.handlers.finetuning.apply_outcome import settle
from bot.jobs.check_run_writer import adopt, create, reserve
from bot.jobs.context import WRITE_CHECKS, Done, JobContext, Later, Outcome
from bot.messages.check_run import FINETUNE
from bot.messages.finetune_check import finetune_check, nothing_check, refusal_check, started_check
from bot.messages.finetune_context import FinetuneContext, NextStep, ThresholdChange
from bot.messages.reasons import UNKNOWN
from bot.records import CheckRunFields, Installation, RepositoryMemory, Run
from bot.runs.active_ranking import ActiveRanking, is_seen, load_active_ranking
from bot.store.check_runs import mark_posted, unposted_check_run
from bot.store.finetune_checks import posted_as, posted_for_run, posted_on
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository
from bot.store.runs import load_run, runs_of
from bot.store.screenings import load_screening
from pipeline.json_fields import MalformedError
from pipeline.reports.finetune_figures import load_figures

SUSPENDED_PAUSE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Subject:
    """Whose run it is, as our rows have it."""

    installation: Installation
    memory: RepositoryMemory

    @property
    def full_name(self) -> str:
        return self.memory.repository.full_name

    @property
    def hears_comments(self) -> bool:
        return self.installation.permissions.get("issues") == "write"


async def result(context: JobContext) -> Outcome:
    """Settle and post a run that ended; or answer a button; or show a stored result again."""
    async with context.parts.database.read() as connection:
        subject = await _subject(connection, context)
        run = await load_run(connection, context.installation_id, _number(context, "run_id"))
    if subject is None:
        return Done("no such repository")
    if "run_id" in context.job.arguments:
        return await _ended(context, subject, run)
    if reason := _why_silent(context, subject):
        return Done(reason)
    if "refused" in context.job.arguments:
        return await _refused(context, subject)
    if "queued" in context.job.arguments:
        return await _started(context, subject)
    return await _again(context, subject)


async def _subject(connection: Any, context: JobContext) -> Subject | None:
    installation = await load_installation(connection, context.installation_id)
    memory = await load_repository(connection, context.installation_id, context.repository_id)
    return None if installation is None or memory is None else Subject(installation, memory)


def _why_silent(context: JobContext, subject: Subject) -> str:
    """Why nothing is written on GitHub; empty where something is."""
    if subject.installation.state != "active":
        return subject.installation.state
    if subject.memory.repository.archived:
        return "archived"
    return "only observing" if context.parts.policy.mode == "observe" else ""


async def _ended(context: JobContext, subject: Subject, run: Run | None) -> Outcome:
    if run is None or run.state != "ended":
        return Done("it has not ended")
    await settle(context, run)
    if run.purpose != "judge":
        return await _told(context, run.judged_run_id, "it has no check run of its own")
    if subject.installation.state == "suspended":
        return Later(context.now() + SUSPENDED_PAUSE, "suspended")
    if reason := _why_silent(context, subject):
        return await _told(context, run.run_id, reason)
    async with context.parts.database.read() as connection:
        posted = await posted_for_run(connection, run.installation_id, run.repository_id, run.run_id)
    if posted is not None:
        return await _told(context, run.run_id, "written before")
    return await _write_end(context, subject, run, run.head_sha)


async def _write_end(context: JobContext, subject: Subject, run: Run, head_sha: str) -> Outcome:
    async with context.parts.database.read() as connection:
        shown = await _shown(connection, context, subject, run, head_sha)
    return await _write(context, subject, finetune_check(run, shown), run)


async def _told(context: JobContext, run_id: int, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await _ask_for_reply(connection, context, run_id)
    return Done()


async def _ask_for_reply(connection: Any, context: JobContext, run_id: int) -> None:
    arguments = {"run_id": run_id}
    ids = context.installation_id, context.repository_id
    await request_job(connection, *ids, "reply", context.now(), key=str(run_id), arguments=arguments)


async def _started(context: JobContext, subject: Subject) -> Outcome:
    async with context.parts.database.read() as connection:
        run = await load_run(connection, context.installation_id, _number(context, "queued"))
    if run is None or run.state == "ended":
        return Done("it has ended, which is told by itself")
    shown = FinetuneContext(subject.full_name, run.head_sha, "", hears_comments=subject.hears_comments)
    return await _write(context, subject, started_check(run, shown), None)


async def _again(context: JobContext, subject: Subject) -> Outcome:
    """What is stored is written as a new check run: GitHub waits for one, and no GPU is asked for it."""
    head_sha, external_id = _text(context, "head_sha"), _text(context, "external_id")
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        named = await posted_as(connection, *ids, external_id)
        row = named or await posted_on(connection, *ids, head_sha)
        if row is None:
            return Done("there is nothing to show again")
        judged = await runs_of(connection, *ids, "judge")
    here = (run for run in judged if run.run_id == row.run_id or (not row.run_id and run.head_sha == row.head_sha))
    run = next(here, None)
    if run is not None and run.state == "ended":
        return await _write_end(context, subject, run, row.head_sha)
    shown = FinetuneContext(subject.full_name, row.head_sha, "", hears_comments=subject.hears_comments)
    return await _write(context, subject, nothing_check(shown) if run is None else started_check(run, shown), None)


async def _refused(context: JobContext, subject: Subject) -> Outcome:
    head_sha = _text(context, "head_sha")
    if not head_sha:
        return Done("there is no commit to say it on")
    shown = FinetuneContext(subject.full_name, head_sha, "", hears_comments=subject.hears_comments)
    return await _write(context, subject, refusal_check(_text(context, "refused"), shown), None)


async def _write(context: JobContext, subject: Subject, fields: CheckRunFields, run: Run | None) -> Outcome:
    """As a new completed check run. `run`: whose end it tells."""
    run_id = run.run_id if run else 0
    if await _was_written(context, subject, run_id):
        return await _finish(context, run_id, "written before")
    row = await reserve(context, fields, screening_id=run.screening_id if run else 0, run_id=run_id)
    if isinstance(row, Later):
        return row
    client = await context.client(WRITE_CHECKS)
    named = replace(fields, external_id=row.external_id)
    check_run_id = await create(context, subject.full_name, client, named, row, commit_may_be_gone=True)
    if check_run_id is None:
        return await _finish(context, run_id, "that commit is not of this repository")
    async with context.conclusion() as connection:
        await mark_posted(connection, context.installation_id, row.row_id, check_run_id, context.now())
        if run_id:
            await _ask_for_reply(connection, context, run_id)
    return Done()


async def _finish(context: JobContext, run_id: int, reason: str) -> Outcome:
    return await _told(context, run_id, reason) if run_id else Done(reason)


async def _was_written(context: JobContext, subject: Subject, run_id: int) -> bool:
    """Whether an attempt before this one wrote it and died: its row is there, and GitHub knows it.

    Rows of others that died are brought up to date on the way.
    """
    ids = context.installation_id, context.repository_id
    while True:
        async with context.parts.database.read() as connection:
            row = await unposted_check_run(connection, *ids, FINETUNE)
        if row is None:
            return False
        mine = row.run_id == run_id and (run_id != 0 or context.job.attempts > 1)
        if await adopt(context, subject.full_name, row) and mine:
            return True


async def _shown(connection: Any, context: JobContext, subject: Subject, run: Run, head_sha: str) -> FinetuneContext:
    shown = FinetuneContext(subject.full_name, head_sha, "", hears_comments=subject.hears_comments)
    if run.ending != "finished":
        return shown
    ids = run.installation_id, run.repository_id
    in_force = await load_active_ranking(connection, *ids)
    seen = await is_seen(connection, context.parts.policy, *ids)
    predicted = await load_screening(connection, run.installation_id, run.screening_id)
    change, not_counted = await _change(connection, context, run)
    step, why_not = next_step(run, in_force, seen=seen)
    return replace(shown, predicted=predicted, change=change, not_counted=not_counted, next_step=step, why_not=why_not)


async def _change(connection: Any, context: JobContext, run: Run) -> tuple[ThresholdChange | None, str]:
    """What the outcome did to the threshold, or why it did nothing."""
    try:
        change = await change_of(connection, context.parts.calibrations, run)
    except MalformedError:  # of another release
        return None, ""
    if change is None:
        return None, await reason_not_recorded(connection, run)
    if change.reason:
        return None, change.reason
    return ThresholdChange(change.before.value, change.after.value, len(change.flipped), change.judged), ""


def next_step(run: Run, in_force: ActiveRanking, *, seen: bool) -> tuple[NextStep, str]:
    """What comes after a run, as things are now, and why not where it failed."""
    figures = load_figures(run.result)
    if figures.conclusive and in_force.judged is not None and in_force.judged.run_id != run.run_id:
        return "overruled", ""
    if figures.best == "baseline":
        return "", ""
    if not seen:
        return "unseen", ""
    if in_force.refit is not None:
        return "ranks", ""
    if any(ranker.state != "ended" for ranker in in_force.rankers):
        return "coming", ""
    if in_force.failed_refit is not None:
        return "failed", in_force.failed_refit.reason or UNKNOWN
    return "off", ""


def _number(context: JobContext, name: str) -> int:
    value = context.job.arguments.get(name, 0)
    return value if isinstance(value, int) else 0


def _text(context: JobContext, name: str) -> str:
    value = context.job.arguments.get(name, "")
    return value if isinstance(value, str) else ""
