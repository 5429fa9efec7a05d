"""Screen one repository: clone, mine, measure, judge and rank in a child process, and store the verdict.

The first requests fetch the repository's current name, branch and head; the token can read only this repository. The
measurement is dated before the clone, so that a push during it counts as newer.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Final

import structlog

from bot.github.errors import NotFound
from bot.handlers.screening import post_schedule
from bot.handlers.screening.clone_slot import CloneSlot, clone_slot
from bot.handlers.screening.evidence import Evidence, evidence_file, read_evidence
from bot.handlers.screening.repo_config import changes_labels
from bot.handlers.screening.source import Source, load_source
from bot.jobs.arguments import parse_screen
from bot.jobs.context import Done, JobContext, Outcome
from bot.jobs.failures import save_failure
from bot.jobs.retry import MAX_ATTEMPTS, MAX_TOKENS, Again, Failed, Gone, NotYet, StillAway, pause, retry
from bot.messages.reasons import CODE_UNREADABLE
from bot.messages.screen_context import shows_ranking
from bot.records import Installation, RepositoryMemory, StoredScreening
from bot.repo_config.precedence import EffectiveConfig
from bot.runs.active_ranking import request_scores
from bot.runs.audit import maybe_audit
from bot.sandbox.screening_task import Screened, ScreeningFailed, ScreeningTask
from bot.store.database import Connection
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository
from bot.store.screenings import load_screening, newest_screening, save_screening
from pipeline.label_recipe import MESSAGES, RECIPES, LabelRecipe
from pipeline.ranking.shortlist import dump_shortlist
from pipeline.screening.measurement import dump_judgement, dump_measurement, judge_measurement

log = structlog.get_logger(__name__)

DISK_PAUSE: Final = timedelta(minutes=10)
MAX_KILLED: Final = 5  # attempts; it may be the one that uses up the machine's memory


@dataclasses.dataclass(frozen=True)
class ScreenState:
    """Everything in the store that a screening depends on."""

    installation: Installation
    memory: RepositoryMemory
    newest: StoredScreening | None
    deciding: LabelRecipe


async def screen(context: JobContext) -> Outcome:
    """Store a screening and request its posting; or store the failure; or retry what may work later."""
    state = await _load(context)
    if state is None:
        return Done("no such repository")
    if state.installation.state != "active":
        return await context.not_served(state.installation)
    source = await load_source(context, state.memory.repository, state.newest)
    if source.repository.archived or not source.head_sha:
        return Done("archived" if source.repository.archived else "empty")
    if not parse_screen(context.job.arguments).force and not _must_measure(context, state, source.config):
        return await _post(context, "measured already")
    try:
        screened, evidence = await _measure(context, state, source)
    except ScreeningFailed as failure:
        return await _failed(context, failure, source)
    return await _save(context, source, screened, evidence)


async def _load(context: JobContext) -> ScreenState | None:
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, context.installation_id, context.repository_id)
        if installation is None or memory is None:
            return None
        known = await context.parts.calibrations.installation_set(connection, context.installation_id)
        return ScreenState(
            installation=installation,
            memory=memory,
            newest=await newest_screening(connection, context.installation_id, context.repository_id),
            deciding=RECIPES.get(known.calibration_set.deciding, MESSAGES),
        )


def _must_measure(context: JobContext, state: ScreenState, config: EffectiveConfig) -> bool:
    newest = state.newest
    if newest is None or post_schedule.must_measure(state.memory, newest, context.now()):
        return True
    return changes_labels(config, newest.config_hash)


async def _measure(context: JobContext, state: ScreenState, source: Source) -> tuple[Screened, Evidence]:
    """Measure in a child process, with GitHub's issues and pull requests. Raises ScreeningFailed, RateLimited."""
    async with clone_slot(context) as slot:
        evidence = await read_evidence(
            context,
            state.installation,
            source.client,
            source.repository,
            source.head_sha,
            slot.folder,
            deciding=state.deciding,
        )
        return await context.parts.supervisor.screen(_task(context, source, slot, evidence)), evidence


def _task(context: JobContext, source: Source, slot: CloneSlot, evidence: Evidence) -> ScreeningTask:
    policy = context.parts.policy
    return ScreeningTask(
        url=f"{policy.web_url}/{source.repository.full_name}.git",
        folder=slot.folder,
        max_pack_bytes=slot.max_bytes,
        token=source.token,
        seen_at=int(source.seen_at.timestamp()),
        ca_bundle=policy.ca_bundle,
        proxies=policy.proxies,
        memory_mb=policy.screening_memory_mb,
        wall_s=policy.screening_s,
        cpu_s=policy.screening_s,
        rank=shows_ranking(source.repository, source.config.publish_ranking),
        overlay=source.config.overlay,
        recipe=evidence.recipe.name,
        evidence=evidence_file(context, evidence, source.repository, source.seen_at),
    )


async def _save(context: JobContext, source: Source, screened: Screened, evidence: Evidence) -> Outcome:
    if screened.unranked:
        log.info("not_ranked", reason=screened.unranked)
    other = screened.measurement.other if evidence.is_whole else None
    measurement = dataclasses.replace(screened.measurement, evidence_note=evidence.note, other=other)
    label_recipe_id = evidence.recipe.id
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        calibration = await context.parts.calibrations.of(connection, context.installation_id, label_recipe_id)
    judgement = judge_measurement(measurement, calibration)
    async with context.conclusion() as connection:
        screening_id = await save_screening(
            connection,
            *ids,
            head_sha=measurement.head_sha,
            measured_at=source.began_at,
            measurement=dump_measurement(measurement),
            judgement=dump_judgement(judgement),
            failure="",
            label_recipe_id=label_recipe_id,
            config_hash=measurement.config_hash,
            ranking=None if screened.shortlist is None else dump_shortlist(screened.shortlist),
        )
        await _request_followups(context, connection, screening_id)
    context.parts.hooks.screened(judgement.verdict)
    return Done()


async def _request_followups(context: JobContext, connection: Connection, screening_id: int) -> None:
    """Request the posting, the ranking by an adapter that won, and the audit of a SKIP that is drawn."""
    ids, now = (context.installation_id, context.repository_id), context.now()
    await request_job(connection, *ids, "post", now)
    await request_scores(connection, context.parts.policy, *ids, now)
    saved = await load_screening(connection, context.installation_id, screening_id)
    if saved is not None:
        await maybe_audit(connection, context.parts.policy, saved, now)


async def _post(context: JobContext, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await request_job(connection, context.installation_id, context.repository_id, "post", context.now())
    return Done()


async def _failed(context: JobContext, failure: ScreeningFailed, source: Source) -> Outcome:
    """Retry if the failure may pass; else store it, to be posted like a verdict."""
    context.parts.hooks.screened(failure.kind)
    log.info("screening_failed", failure=failure.kind, attempts=context.job.attempts)
    match decide(failure, context.job.attempts, context.now()):
        case StillAway() as away:
            raise away
        case Again(at, reason, counts):
            raise NotYet(at, reason, counts=counts)
        case Gone(reason):
            raise NotFound(reason)
        case Failed(reason):
            async with context.conclusion(reason) as connection:
                await save_failure(connection, context.job, reason, source.began_at, source.head_sha)
            return Done()


def decide(failure: ScreeningFailed, attempts: int, now: datetime) -> Again | Failed | Gone | StillAway:
    """Decide what follows a failure, by its kind."""
    match failure.kind:
        case "disk_full":
            return Again(now + DISK_PAUSE, failure.sentence, counts=False)
        case "refused" if attempts < MAX_TOKENS:  # the token may have expired in the queue
            return Again(now, CODE_UNREADABLE)
        case "refused":
            return StillAway(CODE_UNREADABLE)
        case "missing" if attempts < MAX_ATTEMPTS:
            return Gone(failure.sentence)
        case "unavailable":
            return StillAway(failure.sentence)
        case "interrupted":
            return retry(attempts, now, failure.sentence)
        case "killed" if attempts < MAX_KILLED:
            return Again(now + pause(attempts), failure.sentence)
        case _:
            return Failed(failure.sentence)
