"""The threshold of an installation as its outcomes are now, and every verdict that it turns.

1. what it shares with others is brought up to date, and the others are told, at most once an hour
2. a threshold that is made of something else than the newest one is stored: something was deleted, or others shared
3. each repository whose verdict differs from what it was told is judged again, and its check run asked for

Any of it may be done twice: the second time there is nothing to do. A verdict that stays is not posted for the sake of
a number in it; it is judged anew when it is next posted on a measurement of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Literal

import structlog

from bot.calibration.sharing_sync import plan_sharing, sync_sharing
from bot.calibration.threshold_change import verdict
from bot.calibration.versions import save_changed_versions
from bot.jobs.context import Done, JobContext, Outcome
from bot.repo_config.effective import load_effective_config
from bot.store.installations import list_installations, load_installation
from bot.store.jobs import request_job
from bot.store.repositories import list_repositories
from bot.store.verdicts import Standing, judge_again, lock_newest, standing_verdicts
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import dump_judgement, judge_measurement, load_measurement

log = structlog.get_logger(__name__)

BATCH: Final = 50  # verdicts; then others have their turn
OTHERS_HEAR_EVERY: Final = timedelta(hours=1)
AGAIN_IN: Final = timedelta(seconds=10)


async def recalibrate(context: JobContext) -> Outcome:
    """Job of a whole installation."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
    if installation is None:
        return Done("no such installation")
    if installation.state != "active":
        return await context.not_served(installation)
    await _bring_up_to_date(context)
    turned = await _turned(context)
    answers = [await _judge(context, standing) for standing in turned[:BATCH]]
    judged = answers.count("turned")
    async with context.conclusion(f"{judged} verdicts turned" if judged else "") as connection:
        if "busy" in answers or (judged and len(turned) > BATCH):
            due_at = context.now() + (AGAIN_IN if "busy" in answers else timedelta())
            await request_job(connection, context.installation_id, 0, "recalibrate", context.now(), not_before=due_at)
    return Done()


async def _bring_up_to_date(context: JobContext) -> None:
    """The others are told before anything changes: they look later, and a worker that dies in between tells again."""
    source = context.parts.calibrations
    async with context.parts.database.read() as connection:
        willing = await _willing(context, connection) if source.scope == "server" else set()
        plan = await plan_sharing(connection, source, context.installation_id, willing)
    if plan:
        await _tell_others(context)
    async with context.effect() as connection:
        await sync_sharing(connection, source, context.installation_id, willing)
        await save_changed_versions(connection, source, context.installation_id, context.now())


async def _willing(context: JobContext, connection: Any) -> set[int]:
    """The repositories whose configuration lets them share."""
    willing = set()
    for memory in await list_repositories(connection, context.installation_id):
        ids = context.installation_id, memory.repository.repository_id
        config = await load_effective_config(connection, context.parts.policy, *ids)
        if config.share_outcomes:
            willing.add(memory.repository.repository_id)
    return willing


async def _tell_others(context: JobContext) -> None:
    """Those that wait already stay due when they are: the pool changes often, their thresholds need not.

    Not under this job's lease: two that tell each other would each wait for the other's.
    """
    now = context.now()
    async with context.parts.database.write() as connection:
        for installation in await list_installations(connection):
            if installation.installation_id != context.installation_id and installation.state == "active":
                later = now + OTHERS_HEAR_EVERY
                await request_job(connection, installation.installation_id, 0, "recalibrate", now, not_before=later)


async def _turned(context: JobContext) -> list[Standing]:
    """Verdicts that are not what the thresholds say now, each by that of the label recipe it was measured by."""
    async with context.parts.database.read() as connection:
        verdicts = await standing_verdicts(connection, context.installation_id)
        source = context.parts.calibrations
        thresholds = {
            recipe: (await source.of(connection, context.installation_id, recipe)).threshold
            for recipe in sorted({standing.label_recipe_id for standing in verdicts})
        }
    return [s for s in verdicts if verdict(s, thresholds[s.label_recipe_id]) != s.verdict]


async def _judge(context: JobContext, standing: Standing) -> Literal["turned", "same", "busy"]:
    """`busy`: something is being written about that repository. `same`: a newer screening came meanwhile."""
    ids = context.installation_id, standing.repository_id
    async with context.effect() as connection:
        await request_job(
            connection, *ids, "post", context.now()
        )  # first: who posts holds this job and waits for its row
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
    return "turned"
