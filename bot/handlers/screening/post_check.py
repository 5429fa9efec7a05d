"""Post the newest verdict as one completed check run.

1. load everything from the store, and resolve a check run that a crashed attempt may have written
2. decide: post, wait, measure first, or skip                                       post_schedule.py
3. judge the measurement again if the threshold has changed since
4. write the check run once: save its row, then send it                             check_run_writer.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected, Unavailable
from bot.handlers.screening import post_schedule
from bot.handlers.screening.repo_config import (
    changes_labels,
    holds_organization_file,
    load_notes,
    read_configuration,
)
from bot.jobs.arguments import DuplicateCheckRuns, PostJob, ShowAgain, parse_post, request
from bot.jobs.check_run_writer import adopt, conclusion, create, reserve
from bot.jobs.context import WRITE_CHECKS, Done, JobContext, Later, Outcome
from bot.jobs.duplicate_check_runs import withdraw_duplicates
from bot.messages.screen_check import screen_check
from bot.messages.screen_context import OffBecause, ScreenContext, WonAdapter
from bot.receiver.dispatch import SCREEN_CHECK
from bot.records import Budget, Installation, RepositoryMemory, StoredCheckRun, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.repo_config.precedence import EffectiveConfig
from bot.runs.active_ranking import load_active_ranking
from bot.store.budgets import load_budget
from bot.store.check_runs import newest_posted, posted_on, shows_screening, unposted_check_runs
from bot.store.database import Connection
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import finish_push_burst, load_repository, note_push, note_suites_off
from bot.store.screenings import load_screening, newest_screening
from bot.store.verdicts import judge_again, lock_newest
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import dump_judgement, judge_measurement, load_measurement

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PostState:
    """Everything in the store that a posting depends on."""

    arguments: PostJob
    installation: Installation
    memory: RepositoryMemory
    newest: StoredScreening | None
    posted: StoredCheckRun | None  # newest on the branch, not on a commit that was re-run
    posted_screening: StoredScreening | None
    unposted: tuple[StoredCheckRun, ...]  # GitHub may or may not have them
    config: EffectiveConfig
    config_note: str  # the parts of the configuration files that do not apply
    budget: Budget | None
    adapter: WonAdapter | None  # will rank the newest measurement

    @property
    def full_name(self) -> str:
        return self.memory.repository.full_name


async def post(context: JobContext) -> Outcome:
    """Post the newest verdict, wait, request a measurement first, or do nothing."""
    arguments = parse_post(context.job.arguments)
    if isinstance(arguments, DuplicateCheckRuns):
        return await withdraw_duplicates(context, arguments.row_id)
    state = await _load(context, arguments)
    if state is None:
        if later := await context.until_listed():
            return later
        state = await _load(context, arguments)  # it may just have been listed
    if state is None:
        return Done("no such repository")
    if state.installation.state != "active":
        return await context.not_served(state.installation)
    if state.unposted:
        adopted = await adopt(context, state.full_name, state.unposted)
        if any(_answers(row, context, arguments) for row in adopted):
            return await _skip(context, state, "written before")
        state = await _load(context, arguments) or state
    if arguments.look:
        state = await _look(context, state)
    decision = await _decide(context, state)
    match decision:
        case post_schedule.Wait(until, reason):
            return Later(until, reason)
        case post_schedule.Measure(reason):
            async with context.conclusion(reason) as connection:
                await request_job(connection, context.installation_id, context.repository_id, "screen", context.now())
            return Done()
        case post_schedule.Skip(reason):
            return await _skip(context, state, reason)
        case post_schedule.Post():
            assert state.newest is not None
            return await _post(context, state, state.newest)


def _answers(row: StoredCheckRun, context: JobContext, arguments: PostJob) -> bool:
    """Return whether a check run that a crashed attempt wrote is what was requested again: on its commit, and since."""
    return arguments.again and row.head_sha == arguments.head_sha and row.made_at >= context.job.made_at


async def _load(context: JobContext, arguments: PostJob) -> PostState | None:
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        posted = await newest_posted(connection, *ids, SCREEN_CHECK)
        newest = await newest_screening(connection, *ids)
        active = await load_active_ranking(connection, *ids)
        posted_screening_id = None if posted is None else posted.screening_id
        return PostState(
            arguments=arguments,
            installation=installation,
            memory=memory,
            newest=newest,
            posted=posted,
            posted_screening=await load_screening(connection, context.installation_id, posted_screening_id),
            unposted=tuple(await unposted_check_runs(connection, *ids, SCREEN_CHECK)),
            config=await load_effective_config(connection, context.parts.policy, *ids),
            config_note=await load_notes(connection, context.parts.policy, memory.repository),
            budget=await load_budget(connection, context.installation_id),
            adapter=None if newest is None else active.adapter_at(newest.head_sha),
        )


async def _look(context: JobContext, state: PostState) -> PostState:
    """Note the head as GitHub has it, as if it had been pushed, unless it is known."""
    repository = state.memory.repository
    if repository.archived or not repository.default_branch:
        return state
    head_sha = await _head(context, state)
    shown = state.posted if state.posted is not None else state.newest  # the first verdict waits for no quiet
    known = (state.memory.pushed_head, "" if shown is None else shown.head_sha)
    if not head_sha or head_sha in known:
        return state
    async with context.effect() as connection:
        await note_push(
            connection, context.installation_id, context.repository_id, head_sha, forced=False, now=context.now()
        )
    return await _load(context, state.arguments) or state


async def _head(context: JobContext, state: PostState) -> str:
    """Return the head of the default branch; empty if there is none."""
    client = await context.client(WRITE_CHECKS)
    try:
        return await client.head(state.full_name, state.memory.repository.default_branch)
    except NotFound:
        return ""


async def _decide(context: JobContext, state: PostState) -> post_schedule.Decision:
    options = post_schedule.PostOptions(
        again=state.arguments.again,
        observe=context.parts.policy.mode == "observe",
        quiet=state.config.quiet,
    )
    decision = post_schedule.decide(
        state.memory, state.newest, state.posted, state.posted_screening, options, context.now()
    )
    if await _has_new_labels(context, state, decision):
        return post_schedule.Measure("its configuration changed")
    return decision


async def _has_new_labels(context: JobContext, state: PostState, decision: post_schedule.Decision) -> bool:
    """Return whether a push, here or to the organization's file, brought another way to label fixes.

    The repository with that file is read even if it cannot be measured itself, because others depend on it.
    """
    due_at, newest = post_schedule.settled_at(state.memory), state.newest
    if (due_at is None and not state.arguments.look) or (due_at is not None and context.now() < due_at):
        return False
    if state.arguments.again or isinstance(decision, post_schedule.Measure):
        return False
    repository = state.memory.repository
    is_measured = newest is not None and not newest.failure
    if repository.archived or not (is_measured or holds_organization_file(repository)):
        return False
    client = await context.client(WRITE_CHECKS)
    head_sha = await client.head(state.full_name, repository.default_branch)
    if not head_sha:
        return False
    config = await read_configuration(context, client, repository, head_sha)
    return newest is not None and not newest.failure and changes_labels(config, newest.config_hash)


async def _skip(context: JobContext, state: PostState, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await _conclude(connection, context, state)
    return Done()


async def _conclude(connection: Connection, context: JobContext, state: PostState) -> None:
    """End the burst of pushes before this posting; a repetition ends none."""
    ids = context.installation_id, context.repository_id
    if not state.arguments.again:
        await finish_push_burst(connection, *ids, state.memory.pushed_head)
        return
    await _show_result_again(connection, context, state.arguments)
    due_at = post_schedule.settled_at(state.memory)
    if due_at is not None:  # a push that joined this job still waits for its own posting
        await request_job(connection, *ids, "post", context.now(), not_before=due_at)


async def _show_result_again(connection: Connection, context: JobContext, arguments: PostJob) -> None:
    """Request the other check run of a suite, which waits for every check run in it."""
    ids, head_sha = (context.installation_id, context.repository_id), arguments.head_sha
    if arguments.suite and await posted_on(connection, *ids, head_sha) is not None:
        await request(connection, *ids, ShowAgain(head_sha), context.now())


async def _post(context: JobContext, state: PostState, newest: StoredScreening) -> Outcome:
    again = state.arguments.again
    client = await context.client(WRITE_CHECKS)
    head_sha = state.arguments.head_sha or await client.head(state.full_name, state.memory.repository.default_branch)
    if not head_sha:
        return await _skip(context, state, "there is no commit to post it on")
    if not again and await _is_posted(context, newest, head_sha):
        return await _skip(context, state, "it is posted already")
    newest = await _judge_now(context, newest)
    fields = screen_check(newest, await _screen_context(context, state, client, newest, head_sha))
    await _turn_off_suites(context, state, client)
    on_request = again and bool(state.arguments.head_sha)
    reserved = await reserve(context, fields, screening_id=newest.screening_id, again=on_request)
    if isinstance(reserved, Later):
        return reserved
    named = replace(fields, external_id=reserved.row.external_id)
    check_run_id = await create(context, state.full_name, client, named, reserved, commit_may_be_gone=again)
    if check_run_id is None:
        return await _skip(context, state, "that commit is not of this repository")
    async with conclusion(context, reserved, check_run_id) as connection:
        await _conclude(connection, context, state)
    return Done()


async def _judge_now(context: JobContext, newest: StoredScreening) -> StoredScreening:
    """Return the newest screening as the current threshold judges it, saved as a row of its own if that differs.

    It is returned unchanged if it failed, if another release stored it, or if a newer one is being written.
    """
    if newest.failure:
        return newest
    ids = context.installation_id, newest.repository_id
    async with context.effect() as connection:
        calibration = await context.parts.calibrations.of(connection, context.installation_id, newest.label_recipe_id)
        try:
            judgement = dump_judgement(judge_measurement(load_measurement(newest.measurement), calibration))
        except MalformedError:
            log.info("not_judged_again", reason="stored by another release")
            return newest
        if judgement == newest.judgement:
            return newest
        locked = await lock_newest(connection, *ids)
        if locked is None or locked.screening_id != newest.screening_id:
            return newest
        screening_id = await judge_again(connection, context.installation_id, newest, judgement)
        return await load_screening(connection, context.installation_id, screening_id) or newest


async def _screen_context(
    context: JobContext, state: PostState, client: InstallationClient, newest: StoredScreening, head_sha: str
) -> ScreenContext:
    publish_ranking, repository = state.config.publish_ranking, state.memory.repository
    if newest.ranking is not None and repository.private and not publish_ranking:
        # A posted check run cannot be withdrawn, so ask GitHub: the repository may just have become public.
        now = await client.repository(state.full_name, context.repository_id)
        repository = replace(repository, private=now.private)
    return ScreenContext(
        repository=repository,
        head_sha=head_sha,
        external_id="",
        fine_tuning_on=(off_because := _off_because(context, state)) is None,
        off_because=off_because or "server",
        comments_enabled=state.installation.permissions.get("issues") == "write",
        adapter=state.adapter,
        config_note=state.config_note,
        publish_ranking=publish_ranking,
        web_url=context.parts.policy.web_url,
    )


def _off_because(context: JobContext, state: PostState) -> OffBecause | None:
    """Return why this repository cannot be fine-tuned here; None if it can."""
    if not context.parts.policy.base_models:
        return "server"
    if state.budget is None:
        return "budget"
    return None if state.config.finetune else "configuration"


async def _is_posted(context: JobContext, newest: StoredScreening, head_sha: str) -> bool:
    async with context.parts.database.read() as connection:
        return await shows_screening(
            connection, context.installation_id, context.repository_id, head_sha, newest.screening_id
        )


async def _turn_off_suites(context: JobContext, state: PostState, client: InstallationClient) -> None:
    """Stop GitHub, once per repository, from creating an empty check suite for every push. Failures are only logged."""
    if state.memory.suites_off:
        return
    try:
        await client.turn_off_suites(state.full_name, context.parts.app_id())
    except Unavailable as error:  # the verdict does not wait for this, and the next posting tries again
        log.info("suites_stay_on", problem=type(error).__name__)
        return
    except (Forbidden, NotFound, Rejected) as error:
        log.info("suites_stay_on", problem=type(error).__name__)
    async with context.effect() as connection:
        await note_suites_off(connection, context.installation_id, context.repository_id)
