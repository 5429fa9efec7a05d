"""Update the threshold of an installation, and every verdict that it flips.

1. update what the installation shares, and have the others recalibrate, at most once an hour
2. store a new threshold if its inputs changed: something was deleted, or others shared
3. judge each repository again whose verdict the threshold flips, and request its check run

Every step is idempotent. A verdict that does not flip is not posted again for a new number in it; it is judged again
when it is posted next.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

import structlog

from bot.calibration.sharing_sync import plan_sharing, sync_sharing
from bot.calibration.threshold_change import verdict
from bot.calibration.versions import save_changed_versions
from bot.jobs.context import Done, JobContext, Outcome
from bot.repo_config.effective import load_effective_config
from bot.store.database import Connection
from bot.store.installations import list_installations, load_installation
from bot.store.jobs import request_job
from bot.store.repositories import list_repositories
from bot.store.verdicts import Standing, judge_again, lock_newest, standing_verdicts
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import dump_judgement, judge_measurement, load_measurement

log = structlog.get_logger(__name__)

BATCH: Final = 50  # verdicts; then other jobs get their turn
OTHERS_PERIOD: Final = timedelta(hours=1)
BUSY_PAUSE: Final = timedelta(seconds=10)


async def recalibrate(context: JobContext) -> Outcome:
    """Recalibrate a whole installation."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
    if installation is None:
        return Done("no such installation")
    if installation.state != "active":
        return await context.not_served(installation)
    await _update_sharing(context)
    flipped = await _flipped(context)
    results = [await _judge(context, standing) for standing in flipped[:BATCH]]
    count = results.count("flipped")
    async with context.conclusion(f"{count} verdicts flipped" if count else "") as connection:
        if "busy" in results or (count and len(flipped) > BATCH):
            due_at = context.now() + (BUSY_PAUSE if "busy" in results else timedelta())
            await request_job(connection, context.installation_id, 0, "recalibrate", context.now(), not_before=due_at)
    return Done()


async def _update_sharing(context: JobContext) -> None:
    """Request the others' jobs before anything changes: they run later, and a crash in between repeats the request."""
    source = context.parts.calibrations
    async with context.parts.database.read() as connection:
        willing = await _willing(context, connection) if source.scope == "server" else set()
        plan = await plan_sharing(connection, source, context.installation_id, willing)
    if plan:
        await _request_others(context)
    async with context.effect() as connection:
        await sync_sharing(connection, source, context.installation_id, willing)
        await save_changed_versions(connection, source, context.installation_id, context.now())


async def _willing(context: JobContext, connection: Connection) -> set[int]:
    """Return the repositories whose configuration lets them share."""
    willing = set()
    for memory in await list_repositories(connection, context.installation_id):
        ids = context.installation_id, memory.repository.repository_id
        config = await load_effective_config(connection, context.parts.policy, *ids)
        if config.share_outcomes:
            willing.add(memory.repository.repository_id)
    return willing


async def _request_others(context: JobContext) -> None:
    """Request recalibration of the other installations; jobs that wait already keep their time.

    This runs outside of the lease, because two installations that request each other's job would deadlock.
    """
    now = context.now()
    async with context.parts.database.write() as connection:
        for installation in await list_installations(connection):
            if installation.installation_id != context.installation_id and installation.state == "active":
                later = now + OTHERS_PERIOD
                await request_job(connection, installation.installation_id, 0, "recalibrate", now, not_before=later)


async def _flipped(context: JobContext) -> list[Standing]:
    """Return the verdicts that the current thresholds contradict, each by the threshold of its label recipe."""
    async with context.parts.database.read() as connection:
        verdicts = await standing_verdicts(connection, context.installation_id)
        source = context.parts.calibrations
        thresholds = {
            recipe: (await source.of(connection, context.installation_id, recipe)).threshold
            for recipe in sorted({standing.label_recipe_id for standing in verdicts})
        }
    return [s for s in verdicts if verdict(s, thresholds[s.label_recipe_id]) != s.verdict]


async def _judge(context: JobContext, standing: Standing) -> Literal["flipped", "same", "busy"]:
    """Judge again. `busy`: another job is writing about the repository. `same`: a newer screening exists."""
    ids = context.installation_id, standing.repository_id
    async with context.effect() as connection:
        # First, because a worker that posts holds this job and waits for its row.
        await request_job(connection, *ids, "post", context.now())
        newest = await lock_newest(connection, *ids)
        if newest is None:
            return "busy"
        if newest.screening_id != standing.screening_id:
            return "same"
        calibration = await context.parts.calibrations.of(connection, context.installation_id, newest.label_recipe_id)
        try:
            judgement = judge_measurement(load_measurement(newest.measurement), calibration)
        except MalformedError:
            log.info("not_judged_again", reason="stored by another release")
            return "same"
        await judge_again(connection, context.installation_id, newest, dump_judgement(judgement))
    context.parts.hooks.screened(judgement.verdict)
    return "flipped"
