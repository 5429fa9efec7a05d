"""A verdict as the threshold in force has it: what is posted must not rest on a threshold that was replaced since."""

from __future__ import annotations

import structlog

from bot.jobs.context import JobContext
from bot.records import StoredScreening
from bot.store.screenings import load_screening
from bot.store.verdicts import judge_again, lock_newest
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import dump_judgement, judge_measurement, load_measurement

log = structlog.get_logger(__name__)


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
