"""The server's own calibration set: where the operator, or a new release, changed it, every installation follows.

Looked at by every worker, from time to time: a change is told by whoever sees it first. The set lies in the data
folder, which may be another on each machine, so each machine remembers what it saw itself: where they differ they do
not answer each other for ever.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any, Final

import structlog

from bot.calibration.calibration_source import CalibrationSource
from bot.jobs.context import Parts
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.installations import list_installations
from bot.store.jobs import request_job

log = structlog.get_logger(__name__)

BOOKMARK: Final = f"server calibration of {platform.node()}"[:80]
SERVER: Final = 0  # the number of no installation: it has no ledger, so its thresholds are those of the server's set


async def follow_server_calibration(parts: Parts) -> None:
    """Ask for `recalibrate` of every active installation where the set is not the one that was seen last.

    Raises AssayError where the operator's ledger cannot be read.
    """
    async with parts.database.read() as connection:
        versions = await versions_of(connection, parts.calibrations)
        if versions == await load_bookmark(connection, BOOKMARK):
            return
    async with parts.database.write() as connection:
        if versions == await load_bookmark(connection, BOOKMARK):
            return
        for installation in await list_installations(connection):
            if installation.state == "active":
                await request_job(connection, installation.installation_id, 0, "recalibrate", parts.clock.now())
        await save_bookmark(connection, BOOKMARK, versions)
    log.info("server_calibration_changed", versions=versions)


async def versions_of(connection: Any, source: CalibrationSource) -> dict[str, str]:
    """The version of each label recipe's threshold, and one of what is excluded. Raises AssayError.

    An exclusion is by name: it may change nothing of the server's own set and yet an outcome of an installation.
    """
    known = (await source.installation_set(connection, SERVER, family=source.family)).calibration_set
    recipes = {known.deciding, *known.seed_thresholds, *(outcome.label_recipe_id for outcome in known.outcomes)}
    versions = {recipe: (await source.of(connection, SERVER, recipe)).version for recipe in sorted(recipes)}
    excluded = json.dumps(sorted(known.exclusions))
    return versions | {"excluded": hashlib.sha256(excluded.encode()).hexdigest()[:12]}
