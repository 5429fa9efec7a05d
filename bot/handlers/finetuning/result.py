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
from bot.jobs.context import WRITE_CHECKS, Done, Later, Outcome, Work
from bot.messages.finetune_check import FINETUNE, finetune_check, nothing_check, refusal_check, started_check
from bot.messages.finetune_context import NextStep, Shown, ThresholdChange
from bot.records import CheckRunFields, Installation, RepositoryMemory, Run
from bot.runs.active_ranking import RankingInForce, is_seen, load_ranking_in_force
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


async def result(work: Work) -> Outcome:
    """Settle and post a run that ended; or answer a button; or show a stored result again."""
    async with work.parts.database.read() as connection:
        subject = await _subject(connection, work)
        run = await load_run(connection, work.installation_id, _number(work, "run_id"))
    if subject is None:
        return Done("no such repository")
    if "run_id" in work.job.arguments:
        return await _ended(work, subject, run)
    if reason := _why_silent(work, subject):
        return Done(reason)
    if "refused" in work.job.arguments:
        return await _refused(work, subject)
    if "queued" in work.job.arguments:
        return await _started(work, subject)
    return await _again(work, subject)


async def _subject(connection: Any, work: Work) -> Subject | None:
    installation = await load_installation(connection, work.installation_id)
    memory = await load_repository(connection, work.installation_id, work.repository_id)
    return None if installation is None or memory is None else Subject(installation, memory)


def _why_silent(work: Work, subject: Subject) -> str:
    """Why nothing is written on GitHub; empty where something is."""
    if subject.installation.state != "active":
        return subject.installation.state
    if subject.memory.repository.archived:
        return "archived"
    return "only observing" if work.parts.policy.mode == "observe" else ""


async def _ended(work: Work, subject: Subject, run: Run | None) -> Outcome:
    if run is None or run.state != "ended":
        return Done("it has not ended")
    await settle(work, run)
    if run.purpose != "judge":
        return await _told(work, run.judged_run_id, "it has no check run of its own")
    if subject.installation.state == "suspended":
        return Later(work.now() + SUSPENDED_PAUSE, "suspended")
    if reason := _why_silent(work, subject):
        return await _told(work, run.run_id, reason)
    async with work.parts.database.read() as connection:
        posted = await posted_for_run(connection, run.installation_id, run.repository_id, run.run_id)
    if posted is not None:
        return await _told(work, run.run_id, "written before")
    return await _write_end(work, subject, run, run.head_sha)


async def _write_end(work: Work, subject: Subject, run: Run, head_sha: str) -> Outcome:
    async with work.parts.database.read() as connection:
        shown = await _shown(connection, work, subject, run, head_sha)
    return await _write(work, subject, finetune_check(run, shown), run)


async def _told(work: Work, run_id: int, reason: str) -> Outcome:
    async with work.conclusion(reason) as connection:
        await _ask_for_reply(connection, work, run_id)
    return Done()


async def _ask_for_reply(connection: Any, work: Work, run_id: int) -> None:
    arguments = {"run_id": run_id}
    ids = work.installation_id, work.repository_id
    await request_job(connection, *ids, "reply", work.now(), key=str(run_id), arguments=arguments)


async def _started(work: Work, subject: Subject) -> Outcome:
    async with work.parts.database.read() as connection:
        run = await load_run(connection, work.installation_id, _number(work, "queued"))
    if run is None or run.state == "ended":
        return Done("it has ended, which is told by itself")
    shown = Shown(subject.full_name, run.head_sha, "", hears_comments=subject.hears_comments)
    return await _write(work, subject, started_check(run, shown), None)


async def _again(work: Work, subject: Subject) -> Outcome:
    """What is stored is written as a new check run: GitHub waits for one, and no GPU is asked for it."""
    head_sha, external_id = _text(work, "head_sha"), _text(work, "external_id")
    ids = work.installation_id, work.repository_id
    async with work.parts.database.read() as connection:
        named = await posted_as(connection, *ids, external_id)
        row = named or await posted_on(connection, *ids, head_sha)
        if row is None:
            return Done("there is nothing to show again")
        judged = await runs_of(connection, *ids, "judge")
    here = (run for run in judged if run.run_id == row.run_id or (not row.run_id and run.head_sha == row.head_sha))
    run = next(here, None)
    if run is not None and run.state == "ended":
        return await _write_end(work, subject, run, row.head_sha)
    shown = Shown(subject.full_name, row.head_sha, "", hears_comments=subject.hears_comments)
    return await _write(work, subject, nothing_check(shown) if run is None else started_check(run, shown), None)


async def _refused(work: Work, subject: Subject) -> Outcome:
    head_sha = _text(work, "head_sha")
    if not head_sha:
        return Done("there is no commit to say it on")
    shown = Shown(subject.full_name, head_sha, "", hears_comments=subject.hears_comments)
    return await _write(work, subject, refusal_check(_text(work, "refused"), shown), None)


async def _write(work: Work, subject: Subject, fields: CheckRunFields, run: Run | None) -> Outcome:
    """As a new completed check run. `run`: whose end it tells."""
    run_id = run.run_id if run else 0
    if await _was_written(work, subject, run_id):
        return await _finish(work, run_id, "written before")
    row = await reserve(work, fields, screening_id=run.screening_id if run else 0, run_id=run_id)
    if isinstance(row, Later):
        return row
    client = await work.client(WRITE_CHECKS)
    named = replace(fields, external_id=row.external_id)
    check_run_id = await create(work, subject.full_name, client, named, row, commit_may_be_gone=True)
    if check_run_id is None:
        return await _finish(work, run_id, "that commit is not of this repository")
    async with work.conclusion() as connection:
        await mark_posted(connection, work.installation_id, row.row_id, check_run_id, work.now())
        if run_id:
            await _ask_for_reply(connection, work, run_id)
    return Done()


async def _finish(work: Work, run_id: int, reason: str) -> Outcome:
    return await _told(work, run_id, reason) if run_id else Done(reason)


async def _was_written(work: Work, subject: Subject, run_id: int) -> bool:
    """Whether an attempt before this one wrote it and died: its row is there, and GitHub knows it.

    Rows of others that died are brought up to date on the way.
    """
    ids = work.installation_id, work.repository_id
    while True:
        async with work.parts.database.read() as connection:
            row = await unposted_check_run(connection, *ids, FINETUNE)
        if row is None:
            return False
        mine = row.run_id == run_id and (run_id != 0 or work.job.attempts > 1)
        if await adopt(work, subject.full_name, row) and mine:
            return True


async def _shown(connection: Any, work: Work, subject: Subject, run: Run, head_sha: str) -> Shown:
    shown = Shown(subject.full_name, head_sha, "", hears_comments=subject.hears_comments)
    if run.ending != "finished":
        return shown
    ids = run.installation_id, run.repository_id
    in_force = await load_ranking_in_force(connection, *ids)
    seen = await is_seen(connection, work.parts.policy, *ids)
    predicted = await load_screening(connection, run.installation_id, run.screening_id)
    change, not_counted = await _change(connection, work, run)
    step, why_not = next_step(run, in_force, seen=seen)
    return replace(shown, predicted=predicted, change=change, not_counted=not_counted, next_step=step, why_not=why_not)


async def _change(connection: Any, work: Work, run: Run) -> tuple[ThresholdChange | None, str]:
    """What the outcome did to the threshold, or why it did nothing."""
    try:
        change = await change_of(connection, work.parts.calibrations, run)
    except MalformedError:  # of another release
        return None, ""
    if change is None:
        return None, await reason_not_recorded(connection, run)
    if change.reason:
        return None, change.reason
    return ThresholdChange(change.before.value, change.after.value, len(change.flipped), change.judged), ""


def next_step(run: Run, in_force: RankingInForce, *, seen: bool) -> tuple[NextStep, str]:
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
        return "failed", in_force.failed_refit.reason or "the reason is not known"
    return "off", ""


def _number(work: Work, name: str) -> int:
    value = work.job.arguments.get(name, 0)
    return value if isinstance(value, int) else 0


def _text(work: Work, name: str) -> str:
    value = work.job.arguments.get(name, "")
    return value if isinstance(value, str) else ""
