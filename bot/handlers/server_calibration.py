"""Recalibrate every installation when the operator or a release changes the server's own calibration set.

Every worker checks periodically, and the first to see a change requests the jobs. The set is in the data folder, which
may differ between machines, so each machine remembers what it saw itself: otherwise two would alternate forever.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Final

import structlog

from bot.calibration.calibration_source import CalibrationSource
from bot.jobs.context import Parts
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.database import Connection
from bot.store.installations import list_installations
from bot.store.jobs import request_job

log = structlog.get_logger(__name__)

BOOKMARK: Final = f"server calibration of {platform.node()}"[:80]
SERVER: Final = 0  # no installation, so without a ledger: its thresholds are those of the server's set


async def follow_server_calibration(parts: Parts) -> None:
    """Request `recalibrate` for every active installation if the set has changed since the last check.

    Raises AssayError if the operator's ledger cannot be read.
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


async def versions_of(connection: Connection, source: CalibrationSource) -> dict[str, str]:
    """Return the version of each label recipe's threshold, and of the exclusions. Raises AssayError.

    Exclusions count because they go by name: one may spare the server's set and still drop an installation's outcome.
    """
    known = (await source.installation_set(connection, SERVER, family=source.family)).calibration_set
    recipes = {known.deciding, *known.seed_thresholds, *(outcome.label_recipe_id for outcome in known.outcomes)}
    versions = {recipe: (await source.of(connection, SERVER, recipe)).version for recipe in sorted(recipes)}
    excluded = json.dumps(sorted(known.exclusions))
    return versions | {"excluded": hashlib.sha256(excluded.encode()).hexdigest()[:12]}
