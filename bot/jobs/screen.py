"""Clone, mine, measure, judge, rank: one repository in a child process, and its verdict as a row.

GitHub is asked for the repository's present name, branch and head first; the token is for reading this repository
alone. The measurement's time is the time before the clone, so that a push that comes meanwhile is newer than it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from bot.github.client import InstallationClient
from bot.github.problems import NotFound
from bot.github.situation import shows_ranking
from bot.jobs import posting
from bot.jobs.failures import remember_failure
from bot.jobs.retry import MOST_ATTEMPTS, TOKENS_TRIED, Again, Failed, Gone, NotYet, again
from bot.jobs.screen_order import Screened, ScreeningFailed, ScreenOrder
from bot.jobs.work import READ, Done, Outcome, Work
from bot.records import Repository, StoredScreening
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from bot.store.repositories import load_repository, save_repository
from bot.store.screenings import newest_screening, save_screening
from pipeline.mining.clone_problems import DiskFull
from pipeline.ranking.shortlist import dump_shortlist
from pipeline.recipe import MESSAGES
from pipeline.screening.measurement import dump_judgement, dump_measurement, judge_measurement

log = structlog.get_logger(__name__)

DISK_PAUSE: Final = timedelta(minutes=10)
REFUSED: Final = "GitHub does not give us the code: the App needs the permission to read contents"


@dataclass(frozen=True)
class Source:
    """What is to be screened, as GitHub describes it now."""

    repository: Repository
    head_sha: str
    token: str = field(repr=False)
    began_at: datetime
    seen_at: datetime  # when this head was first seen


async def screen(work: Work) -> Outcome:
    """A stored screening and the wish to post it; or a stored failure; or, where it may pass, another try."""
    async with work.parts.database.read() as connection:
        installation = await load_installation(connection, work.installation_id)
        memory = await load_repository(connection, work.installation_id, work.repository_id)
        newest = await newest_screening(connection, work.installation_id, work.repository_id)
    if installation is None or memory is None:
        return Done("no such repository")
    if installation.state != "active":
        return await work.not_served(installation)
    forced = bool(work.job.arguments.get("force"))
    source = await _look(work, memory.repository, newest)
    if source.repository.archived or not source.head_sha:
        return Done("archived" if source.repository.archived else "empty")
    if not forced and newest is not None and not posting.must_measure(memory, newest, work.now()):
        return await _post(work, "measured already")
    try:
        screened = await _measure(work, source)
    except ScreeningFailed as failure:
        return await _failed(work, failure, source)
    return await _save(work, source, screened)


async def _look(work: Work, known: Repository, newest: StoredScreening | None) -> Source:
    """Ask GitHub what there is to screen, and remember it."""
    began_at = work.now()
    token = await work.parts.github.mint(work.installation_id, work.repository_id, READ)
    client = work.parts.github.installation_client(work.installation_id, token)
    repository = await client.repository(known.full_name, work.repository_id)
    head_sha = "" if repository.archived else await _head(client, repository)
    if repository != known:
        async with work.effect() as connection:
            await save_repository(connection, repository)
    seen_before = newest is not None and newest.head_sha == head_sha
    seen_at = newest.measured_at if newest is not None and seen_before else began_at
    return Source(repository, head_sha, token, began_at, seen_at)


async def _head(client: InstallationClient, repository: Repository) -> str:
    """Empty where the repository has no commit, and so no branch either."""
    if not repository.default_branch:
        return ""
    try:
        return await client.head(repository.full_name, repository.default_branch)
    except NotFound:
        return ""


async def _measure(work: Work, source: Source) -> Screened:
    """In a child process, in a folder that nobody evicts meanwhile. Raises ScreeningFailed."""
    clones, ids = work.parts.clones, (work.installation_id, work.repository_id)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, clones.in_use(*ids))
        try:
            folder = await asyncio.to_thread(clones.prepare, *ids)
            most_bytes = await asyncio.to_thread(clones.room_for, work.installation_id)
        except DiskFull as problem:
            raise ScreeningFailed("disk_full", str(problem)) from None
        try:
            return await work.parts.nursery.screen(_order(work, source, folder, most_bytes))
        except ScreeningFailed as failure:
            if failure.kind == "too_large" and most_bytes < work.parts.policy.pack_limit_bytes:
                raise ScreeningFailed("disk_full", "other clones take the room that it needs") from None
            raise
        finally:
            await asyncio.to_thread(clones.used, *ids)


def _order(work: Work, source: Source, folder: Path, most_bytes: int) -> ScreenOrder:
    policy = work.parts.policy
    return ScreenOrder(
        url=f"{policy.web_url}/{source.repository.full_name}.git",
        folder=folder,
        most_bytes=most_bytes,
        token=source.token,
        seen_at=int(source.seen_at.timestamp()),
        ca_bundle=policy.ca_bundle,
        proxies=policy.proxies,
        memory_mb=policy.screening_memory_mb,
        wall_s=policy.screening_s,
        cpu_s=policy.screening_s,
        rank=shows_ranking(source.repository, policy.publish_ranking),
    )


async def _save(work: Work, source: Source, screened: Screened) -> Outcome:
    if screened.unranked:
        log.info("not_ranked", reason=screened.unranked)
    measurement, shortlist = screened.measurement, screened.shortlist
    calibration = await asyncio.to_thread(work.parts.calibration)
    judgement = judge_measurement(measurement, calibration)
    ids = work.installation_id, work.repository_id
    async with work.conclusion() as connection:
        await save_screening(
            connection,
            *ids,
            head_sha=measurement.head_sha,
            measured_at=source.began_at,
            measurement=dump_measurement(measurement),
            judgement=dump_judgement(judgement),
            failure="",
            label_recipe_id=MESSAGES.id,
            config_hash="",
            ranking=None if shortlist is None else dump_shortlist(shortlist),
        )
        await request_job(connection, *ids, "post", work.now())
    work.parts.hooks.screened(judgement.verdict)
    return Done()


async def _post(work: Work, reason: str) -> Outcome:
    async with work.conclusion(reason) as connection:
        await request_job(connection, work.installation_id, work.repository_id, "post", work.now())
    return Done()


async def _failed(work: Work, failure: ScreeningFailed, source: Source) -> Outcome:
    """Another try where it may pass; else the failure is stored, and posted like a verdict."""
    work.parts.hooks.screened(failure.kind)
    log.info("screening_failed", failure=failure.kind, attempts=work.job.attempts)
    match decide(failure, work.job.attempts, work.now()):
        case Again(at, reason, counts):
            raise NotYet(at, reason, counts=counts)
        case Gone(reason):
            raise NotFound(reason)
        case Failed(reason):
            async with work.conclusion(reason) as connection:
                await remember_failure(connection, work.job, reason, source.began_at, source.head_sha)
            return Done()


def decide(failure: ScreeningFailed, attempts: int, now: datetime) -> Again | Failed | Gone:
    """What comes next, by the kind of failure."""
    match failure.kind:
        case "disk_full":
            return Again(now + DISK_PAUSE, failure.sentence, counts=False)
        case "refused" if attempts < TOKENS_TRIED:  # the token may have run out while it waited
            return Again(now, REFUSED)
        case "refused":
            return again(attempts, now, REFUSED)
        case "missing" if attempts < MOST_ATTEMPTS:
            return Gone(failure.sentence)
        case "unavailable" | "interrupted":
            return again(attempts, now, failure.sentence)
        case _:
            return Failed(failure.sentence)
