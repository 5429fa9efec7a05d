"""Write the newest verdict as one completed check run: decided first, counted, remembered, then sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.handlers.screening import post_schedule
from bot.handlers.screening.repo_config import changes_labels, load_notes, read_configuration
from bot.jobs.check_run_writer import adopt, create, reserve
from bot.jobs.context import WRITE_CHECKS, Done, JobContext, Later, Outcome
from bot.messages.screen_check import screen_check
from bot.messages.screen_context import OffBecause, ScreenContext, WonAdapter
from bot.receiver.dispatch import SCREEN_CHECK
from bot.records import Budget, Fact, Installation, RepositoryMemory, StoredCheckRun, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.repo_config.precedence import EffectiveConfig
from bot.runs.active_ranking import load_active_ranking
from bot.store.budgets import load_budget
from bot.store.check_runs import mark_posted, newest_posted, posted_on, unposted_check_run
from bot.store.database import Connection
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import answer_push, load_repository, note_suites_off
from bot.store.screenings import load_screening, newest_screening
from bot.store.verdicts import judge_again, lock_newest
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import dump_judgement, judge_measurement, load_measurement

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Known:
    """What our rows say of a repository and its check runs."""

    installation: Installation
    memory: RepositoryMemory
    newest: StoredScreening | None
    posted: StoredCheckRun | None
    posted_screening: StoredScreening | None
    unposted: StoredCheckRun | None
    config: EffectiveConfig
    config_note: str  # what of the configuration files does not apply
    budget: Budget | None
    adapter: WonAdapter | None  # that is to rank what was measured newest

    @property
    def full_name(self) -> str:
        return self.memory.repository.full_name


async def post(context: JobContext) -> Outcome:
    """Bring the check run of a repository up to date, measure first, wait, or leave it."""
    known = await _load(context)
    if known is None:
        return Done("no such repository")
    if known.installation.state != "active":
        return await context.not_served(known.installation)
    if known.unposted is not None:
        if await adopt(context, known.full_name, known.unposted) and _is_again(context):
            return await _leave(context, known, "written before")
        known = await _load(context) or known
    policy = context.parts.policy
    ask = post_schedule.Ask(again=_is_again(context), observe=policy.mode == "observe", quiet=known.config.quiet)
    decision = post_schedule.decide(
        known.memory, known.newest, known.posted, known.posted_screening, ask, context.now()
    )
    if await _is_configured_anew(context, known, decision):
        decision = post_schedule.Measure("its configuration changed")
    match decision:
        case post_schedule.Wait(until, reason):
            return Later(until, reason)
        case post_schedule.Measure(reason):
            async with context.conclusion(reason) as connection:
                await request_job(connection, context.installation_id, context.repository_id, "screen", context.now())
            return Done()
        case post_schedule.Nothing(reason):
            return await _leave(context, known, reason)
        case post_schedule.Post():
            assert known.newest is not None
            return await _post(context, known, known.newest)


async def _is_configured_anew(context: JobContext, known: Known, decision: post_schedule.Decision) -> bool:
    """Whether a push that is to be answered now brought another configuration, by which other commits are fixes."""
    due_at, newest = post_schedule.settled_at(known.memory), known.newest
    if due_at is None or context.now() < due_at or _is_again(context) or isinstance(decision, post_schedule.Measure):
        return False
    repository = known.memory.repository
    if newest is None or newest.failure or repository.archived:
        return False
    client = await context.client(WRITE_CHECKS)
    head_sha = await client.head(known.full_name, repository.default_branch)
    if not head_sha:
        return False
    return changes_labels(await read_configuration(context, client, repository, head_sha), newest.config_hash)


def _is_again(context: JobContext) -> bool:
    return bool(context.job.arguments.get("again"))


async def _load(context: JobContext) -> Known | None:
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        posted = await newest_posted(connection, *ids, SCREEN_CHECK)
        newest = await newest_screening(connection, *ids)
        in_force = await load_active_ranking(connection, *ids)
        return Known(
            installation=installation,
            memory=memory,
            newest=newest,
            posted=posted,
            posted_screening=None
            if posted is None
            else await load_screening(connection, context.installation_id, posted.screening_id),
            unposted=await unposted_check_run(connection, *ids, SCREEN_CHECK),
            config=await load_effective_config(connection, context.parts.policy, *ids),
            config_note=await load_notes(connection, context.parts.policy, memory.repository),
            budget=await load_budget(connection, context.installation_id),
            adapter=None if newest is None else in_force.adapter_at(newest.head_sha),
        )


async def _leave(context: JobContext, known: Known, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await _answer(connection, context, known)
    return Done()


async def _answer(connection: Connection, context: JobContext, known: Known) -> None:
    """The pushes that were known when the head was asked for are answered by it."""
    if _is_again(context):
        await _show_result_again(connection, context)
        due_at = post_schedule.settled_at(known.memory)
        if due_at is not None:  # a push waits still: the answer to somebody's click was not its own
            await request_job(
                connection, context.installation_id, context.repository_id, "post", context.now(), not_before=due_at
            )
    else:
        await answer_push(connection, context.installation_id, context.repository_id, known.memory.pushed_head)


async def _show_result_again(connection: Connection, context: JobContext) -> None:
    """A suite that is asked for again waits for every check run in it."""
    ids, head_sha = (context.installation_id, context.repository_id), str(context.job.arguments.get("head_sha", ""))
    arguments: dict[str, Fact] = {"again": True, "head_sha": head_sha}
    if context.job.arguments.get("suite") and await posted_on(connection, *ids, head_sha) is not None:
        await request_job(connection, *ids, "result", context.now(), key=f"again/{head_sha}", arguments=arguments)


async def _post(context: JobContext, known: Known, newest: StoredScreening) -> Outcome:
    client = await context.client(WRITE_CHECKS)
    head_sha = str(context.job.arguments.get("head_sha", "")) if _is_again(context) else ""
    head_sha = head_sha or await client.head(known.full_name, known.memory.repository.default_branch)
    if not head_sha:
        return await _leave(context, known, "there is no commit to post it on")
    if _is_there(known, newest, head_sha) and not _is_again(context):
        return await _leave(context, known, "it is there already")
    newest = await judged_now(context, newest)
    fields = screen_check(newest, await _situation(context, known, client, newest, head_sha))
    await _turn_off_suites(context, known, client)
    row = await reserve(context, fields, screening_id=newest.screening_id)
    if isinstance(row, Later):
        return row
    named, is_again = replace(fields, external_id=row.external_id), _is_again(context)
    check_run_id = await create(context, known.full_name, client, named, row, commit_may_be_gone=is_again)
    if check_run_id is None:
        return await _leave(context, known, "that commit is not of this repository")
    async with context.conclusion() as connection:
        await mark_posted(connection, context.installation_id, row.row_id, check_run_id, context.now())
        await _answer(connection, context, known)
    return Done()


async def _situation(
    context: JobContext, known: Known, client: InstallationClient, newest: StoredScreening, head_sha: str
) -> ScreenContext:
    publish_ranking, repository = known.config.publish_ranking, known.memory.repository
    if newest.ranking is not None and repository.private and not publish_ranking:
        # It may have become public and the delivery that says so be on its way: what is posted cannot be taken back.
        now = await client.repository(known.full_name, context.repository_id)
        repository = replace(repository, private=now.private)
    return ScreenContext(
        repository=repository,
        head_sha=head_sha,
        external_id="",
        fine_tuning_on=(off_because := _off_because(context, known)) is None,
        off_because=off_because or "server",
        hears_comments=known.installation.permissions.get("issues") == "write",
        adapter=known.adapter,
        config_note=known.config_note,
        publish_ranking=publish_ranking,
        web_url=context.parts.policy.web_url,
    )


def _off_because(context: JobContext, known: Known) -> OffBecause | None:
    """Why this repository cannot be fine-tuned here; None where it can."""
    if not context.parts.policy.base_models:
        return "server"
    if known.budget is None:
        return "budget"
    return None if known.config.finetune else "configuration"


def _is_there(known: Known, newest: StoredScreening, head_sha: str) -> bool:
    posted = known.posted
    return posted is not None and (posted.screening_id, posted.head_sha) == (newest.screening_id, head_sha)


async def _turn_off_suites(context: JobContext, known: Known, client: InstallationClient) -> None:
    """Once a repository, or GitHub makes an empty check suite for every push. No verdict fails for want of it."""
    if known.memory.suites_off:
        return
    try:
        await client.turn_off_suites(known.full_name, context.parts.app_id())
    except (Forbidden, NotFound, Rejected) as problem:
        log.info("suites_stay_on", problem=type(problem).__name__)
    async with context.effect() as connection:
        await note_suites_off(connection, context.installation_id, context.repository_id)


async def judged_now(context: JobContext, newest: StoredScreening) -> StoredScreening:
    """The newest screening of a repository, or a row in its place that says the same by another threshold.

    As it is where it failed, where something newer is being written, and where another release stored it.
    """
    if newest.failure:
        return newest
    ids = context.installation_id, newest.repository_id
    async with context.effect() as connection:
        calibration = await context.parts.calibrations.of(connection, context.installation_id, newest.label_recipe_id)
        try:
            judgement = dump_judgement(judge_measurement(load_measurement(newest.measurement), calibration))
        except MalformedError:
            log.info("not_judged_anew", reason="stored by another release")
            return newest
        if judgement == newest.judgement:
            return newest
        locked = await lock_newest(connection, *ids)
        if locked is None or locked.screening_id != newest.screening_id:
            return newest
        screening_id = await judge_again(connection, context.installation_id, newest, judgement)
        return await load_screening(connection, context.installation_id, screening_id) or newest
