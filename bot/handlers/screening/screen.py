"""Clone, mine, measure, judge, rank: one repository in a child process, and its verdict as a row.

GitHub is asked for the repository's present name, branch and head first; the token is for reading this repository
alone. The measurement's time is the time before the clone, so that a push that comes meanwhile is newer than it.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import structlog

from bot.github.errors import NotFound
from bot.handlers.screening import post_schedule
from bot.handlers.screening.clone_slot import Room, clone_slot
from bot.handlers.screening.evidence import Evidence, evidence_file, read_evidence
from bot.handlers.screening.repo_config import changes_labels
from bot.handlers.screening.source import Source, look
from bot.jobs.context import Done, JobContext, Outcome
from bot.jobs.failures import remember_failure
from bot.jobs.retry import MOST_ATTEMPTS, TOKENS_TRIED, Again, Failed, Gone, NotYet, again
from bot.messages.reasons import CODE_UNREADABLE
from bot.messages.screen_context import shows_ranking
from bot.records import Installation, RepositoryMemory, StoredScreening
from bot.repo_config.precedence import EffectiveConfig
from bot.runs.active_ranking import ask_for_scores
from bot.runs.audit import maybe_audit
from bot.sandbox.screening_task import Screened, ScreeningFailed, ScreeningTask
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository
from bot.store.screenings import load_screening, newest_screening, save_screening
from pipeline.label_recipe import MESSAGES_API, RECIPES
from pipeline.ranking.shortlist import dump_shortlist
from pipeline.screening.measurement import dump_judgement, dump_measurement, judge_measurement

log = structlog.get_logger(__name__)

RECIPE_IDS: Final = MappingProxyType({recipe.name: recipe.id for recipe in RECIPES.values()})
DISK_PAUSE: Final = timedelta(minutes=10)


async def screen(context: JobContext) -> Outcome:
    """A stored screening and the wish to post it; or a stored failure; or, where it may pass, another try."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, context.installation_id, context.repository_id)
        newest = await newest_screening(connection, context.installation_id, context.repository_id)
    if installation is None or memory is None:
        return Done("no such repository")
    if installation.state != "active":
        return await context.not_served(installation)
    forced = bool(context.job.arguments.get("force"))
    source = await look(context, memory.repository, newest)
    if source.repository.archived or not source.head_sha:
        return Done("archived" if source.repository.archived else "empty")
    if not forced and newest is not None and not _must_measure(context, memory, newest, source.config):
        return await _post(context, "measured already")
    try:
        screened, evidence = await _measure(context, installation, source)
    except ScreeningFailed as failure:
        return await _failed(context, failure, source)
    return await _save(context, source, screened, evidence)


def _must_measure(
    context: JobContext, memory: RepositoryMemory, newest: StoredScreening, config: EffectiveConfig
) -> bool:
    return bool(post_schedule.must_measure(memory, newest, context.now())) or changes_labels(config, newest.config_hash)


async def _measure(context: JobContext, installation: Installation, source: Source) -> tuple[Screened, Evidence]:
    """In a child process, with what GitHub knows of issues and pull requests. Raises ScreeningFailed, RateLimited."""
    api_decides = await _api_decides(context)
    async with clone_slot(context) as room:
        evidence = await read_evidence(
            context,
            installation,
            source.client,
            source.repository,
            source.head_sha,
            room.folder,
            api_decides=api_decides,
        )
        return await context.parts.supervisor.screen(_order(context, source, room, evidence)), evidence


async def _api_decides(context: JobContext) -> bool:
    async with context.parts.database.read() as connection:
        known = await context.parts.calibrations.installation_set(connection, context.installation_id)
    return known.calibration_set.deciding == MESSAGES_API.id


def _order(context: JobContext, source: Source, room: Room, evidence: Evidence) -> ScreeningTask:
    policy = context.parts.policy
    return ScreeningTask(
        url=f"{policy.web_url}/{source.repository.full_name}.git",
        folder=room.folder,
        max_pack_bytes=room.most_bytes,
        token=source.token,
        seen_at=int(source.seen_at.timestamp()),
        ca_bundle=policy.ca_bundle,
        proxies=policy.proxies,
        memory_mb=policy.screening_memory_mb,
        wall_s=policy.screening_s,
        cpu_s=policy.screening_s,
        rank=shows_ranking(source.repository, source.config.publish_ranking),
        overlay=source.config.overlay,
        recipe=evidence.label_recipe,
        evidence=evidence_file(context, evidence, source.repository, source.seen_at),
    )


async def _save(context: JobContext, source: Source, screened: Screened, evidence: Evidence) -> Outcome:
    if screened.unranked:
        log.info("not_ranked", reason=screened.unranked)
    other = screened.measurement.other if evidence.is_whole else None
    measurement = dataclasses.replace(screened.measurement, evidence_note=evidence.note, other=other)
    label_recipe_id = RECIPE_IDS[evidence.label_recipe]
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
        await _what_follows(context, connection, screening_id)
    context.parts.hooks.screened(judgement.verdict)
    return Done()


async def _what_follows(context: JobContext, connection: Any, screening_id: int) -> None:
    """The verdict is posted; an adapter that won ranks the new head; a SKIP may be drawn to be tested."""
    ids, now = (context.installation_id, context.repository_id), context.now()
    await request_job(connection, *ids, "post", now)
    await ask_for_scores(connection, context.parts.policy, *ids, now)
    saved = await load_screening(connection, context.installation_id, screening_id)
    if saved is not None:
        await maybe_audit(connection, context.parts.policy, saved, now)


async def _post(context: JobContext, reason: str) -> Outcome:
    async with context.conclusion(reason) as connection:
        await request_job(connection, context.installation_id, context.repository_id, "post", context.now())
    return Done()


async def _failed(context: JobContext, failure: ScreeningFailed, source: Source) -> Outcome:
    """Another try where it may pass; else the failure is stored, and posted like a verdict."""
    context.parts.hooks.screened(failure.kind)
    log.info("screening_failed", failure=failure.kind, attempts=context.job.attempts)
    match decide(failure, context.job.attempts, context.now()):
        case Again(at, reason, counts):
            raise NotYet(at, reason, counts=counts)
        case Gone(reason):
            raise NotFound(reason)
        case Failed(reason):
            async with context.conclusion(reason) as connection:
                await remember_failure(connection, context.job, reason, source.began_at, source.head_sha)
            return Done()


def decide(failure: ScreeningFailed, attempts: int, now: datetime) -> Again | Failed | Gone:
    """What comes next, by the kind of failure."""
    match failure.kind:
        case "disk_full":
            return Again(now + DISK_PAUSE, failure.sentence, counts=False)
        case "refused" if attempts < TOKENS_TRIED:  # the token may have run out while it waited
            return Again(now, CODE_UNREADABLE)
        case "refused":
            return again(attempts, now, CODE_UNREADABLE)
        case "missing" if attempts < MOST_ATTEMPTS:
            return Gone(failure.sentence)
        case "unavailable" | "interrupted":
            return again(attempts, now, failure.sentence)
        case _:
            return Failed(failure.sentence)
