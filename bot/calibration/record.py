"""Record what moves an installation's threshold: an outcome, or an operator's exclusion.

Each is one transaction under the ledger's lock: the ledger row, the threshold before and after it with their inputs,
and the request to recalibrate the verdicts that flip.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from bot.calibration.calibration_source import CalibrationSource, Fitted
from bot.calibration.ledger_records import (
    NotCounted,
    Obstacle,
    outcome_of,
    prediction_of,
    why_not_counted,
    why_not_recorded,
)
from bot.calibration.threshold_change import CalibrationChange, load_change
from bot.calibration.versions import change_between, save_change
from bot.records import Run, StoredScreening
from bot.store.calibrations import calibration_of_run
from bot.store.database import Connection
from bot.store.jobs import request_job
from bot.store.ledger import append_entry, entries_of_run, lock_ledger
from bot.store.repositories import load_repository
from bot.store.screenings import load_screening
from pipeline.calibration.ledger_entries import Excluded, Included, Recorded, dump_entry, load_entry, parse_threshold
from pipeline.json_fields import Fields, MalformedError


async def record_outcome(
    connection: Connection, source: CalibrationSource, run: Run, now: datetime
) -> CalibrationChange | None:
    """Add a run's outcome and the prediction before it to the ledger, exactly once; return the resulting change.

    Returns None if the run is not recorded (`reason_not_recorded`) or already was. An outcome that is recorded but does
    not count is returned with its reason and changes nothing. Requests the job `recalibrate`.
    """
    screening = await load_screening(connection, run.installation_id, run.screening_id)
    memory = await load_repository(connection, run.installation_id, run.repository_id)
    if screening is None or memory is None or _reason(run, screening):
        return None
    await request_job(connection, run.installation_id, 0, "recalibrate", now)  # before the lock: see lock_ledger
    await lock_ledger(connection, run.installation_id)
    if await entries_of_run(connection, run.installation_id, run.run_id):
        return None
    before = await source.fitted(connection, run.installation_id, run.label_recipe_id)
    await _append(connection, run, screening, memory.repository.full_name, now)
    after = await source.fitted(connection, run.installation_id, run.label_recipe_id)
    not_counted = _why_not(after, run, source.family)
    change = await change_between(connection, run.installation_id, before, after)
    if not_counted:
        return dataclasses.replace(change, not_counted=not_counted)
    await save_change(connection, source, run.installation_id, before, after, change, run.run_id, now)
    return change


async def reason_not_recorded(connection: Connection, run: Run) -> Obstacle | None:
    """Return why `record_outcome` ignores a run; None if it does not."""
    return _reason(run, await load_screening(connection, run.installation_id, run.screening_id))


async def change_of(connection: Connection, source: CalibrationSource, run: Run) -> CalibrationChange | None:
    """Return again what `record_outcome` returned for a run; None if it recorded nothing."""
    stored = await calibration_of_run(connection, run.installation_id, run.run_id)
    if stored is not None:
        after = parse_threshold(Fields(stored.threshold, "threshold"))
        return load_change(stored.flips, after, stored.version)
    if not await entries_of_run(connection, run.installation_id, run.run_id):
        return None
    fitted = await source.fitted(connection, run.installation_id, run.label_recipe_id)
    unchanged = await change_between(connection, run.installation_id, fitted, fitted)
    return dataclasses.replace(unchanged, not_counted=_why_not(fitted, run, source.family))


async def record_exclusion(
    connection: Connection,
    source: CalibrationSource,
    installation_id: int,
    repository_id: int,
    entry: Excluded | Included,
    now: datetime,
) -> CalibrationChange:
    """Add an operator's exclusion or inclusion to the ledger; return the resulting change.

    Raises MalformedError for a reason that could not be parsed again.
    """
    load_entry(Fields(dump_entry(entry), "a new entry"))
    await request_job(connection, installation_id, 0, "recalibrate", now)
    await lock_ledger(connection, installation_id)
    before = await source.fitted(connection, installation_id)
    await append_entry(connection, installation_id, repository_id, 0, dump_entry(entry), now)
    after = await source.fitted(connection, installation_id)
    change = await change_between(connection, installation_id, before, after)
    if before.inputs != after.inputs:
        await save_change(connection, source, installation_id, before, after, change, 0, now)
    return change


def _reason(run: Run, screening: StoredScreening | None) -> Obstacle | None:
    reason = why_not_recorded(run, screening)
    if reason or screening is None:
        return reason
    try:
        outcome_of(run, screening, "any/name")
        prediction_of(screening, "any/name")
    except MalformedError:
        return "unreadable"
    return None


async def _append(connection: Connection, run: Run, screening: StoredScreening, full_name: str, now: datetime) -> None:
    prediction = prediction_of(screening, full_name)
    recorded = Recorded(now.isoformat(), (outcome_of(run, screening, full_name),))
    for entry in (prediction, recorded):
        ids = run.installation_id, run.repository_id, run.run_id
        await append_entry(connection, *ids, dump_entry(entry), now)


def _why_not(fitted: Fitted, run: Run, family: str) -> NotCounted | None:
    mine = next((own.outcome for own in fitted.installation_set.own.values() if own.run_id == run.run_id), None)
    return why_not_counted(mine, fitted.calibration, family) if mine else None
