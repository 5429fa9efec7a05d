"""What moves the threshold of an installation: an outcome, or an operator's word.

Each is one transaction under the ledger's lock, whoever else records at the same time: the row of the ledger, the
threshold before and after it with its inputs, and the wish to judge again what it turns.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from bot.calibration.calibration_source import CalibrationSource, Fitted
from bot.calibration.ledger_records import outcome_of, prediction_of, why_not_counted, why_not_recorded
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
    """Put what a run came to into the ledger, with the prediction made before it, and see what that changes; once.

    None where it says nothing about a prediction (`reason_not_recorded`), or was recorded before. An outcome that is
    recorded and does not count comes back with its reason and moves nothing. Job `recalibrate` is asked for.
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
    reason = _why_not(after, run, source.family)
    change = await change_between(connection, run.installation_id, before, after)
    if reason:
        return dataclasses.replace(change, reason=reason)
    await save_change(connection, source, run.installation_id, before, after, change, run.run_id, now)
    return change


async def reason_not_recorded(connection: Connection, run: Run) -> str:
    """Why `record_outcome` leaves a run out, in words after "because"; empty where it does not."""
    return _reason(run, await load_screening(connection, run.installation_id, run.screening_id))


async def change_of(connection: Connection, source: CalibrationSource, run: Run) -> CalibrationChange | None:
    """What `record_outcome` answered for a run, for whoever shows it again; None where it recorded nothing."""
    stored = await calibration_of_run(connection, run.installation_id, run.run_id)
    if stored is not None:
        after = parse_threshold(Fields(stored.threshold, "threshold"))
        return load_change(stored.flips, after, stored.version)
    if not await entries_of_run(connection, run.installation_id, run.run_id):
        return None
    fitted = await source.fitted(connection, run.installation_id, run.label_recipe_id)
    unchanged = await change_between(connection, run.installation_id, fitted, fitted)
    return dataclasses.replace(unchanged, reason=_why_not(fitted, run, source.family))


async def record_word(
    connection: Connection,
    source: CalibrationSource,
    installation_id: int,
    repository_id: int,
    word: Excluded | Included,
    now: datetime,
) -> CalibrationChange:
    """Put an operator's word about a repository into the ledger, and see what that changes.

    Raises MalformedError for a reason that could not be read back.
    """
    load_entry(Fields(dump_entry(word), "a new entry"))
    await request_job(connection, installation_id, 0, "recalibrate", now)
    await lock_ledger(connection, installation_id)
    before = await source.fitted(connection, installation_id)
    await append_entry(connection, installation_id, repository_id, 0, dump_entry(word), now)
    after = await source.fitted(connection, installation_id)
    change = await change_between(connection, installation_id, before, after)
    if before.inputs != after.inputs:
        await save_change(connection, source, installation_id, before, after, change, 0, now)
    return change


def _reason(run: Run, screening: StoredScreening | None) -> str:
    reason = why_not_recorded(run, screening)
    if reason or screening is None:
        return reason
    try:
        outcome_of(run, screening, "any/name")
        prediction_of(screening, "any/name")
    except MalformedError:
        return "its result or the measurement before it was stored by another release, which this one cannot read"
    return ""


async def _append(connection: Connection, run: Run, screening: StoredScreening, full_name: str, now: datetime) -> None:
    prediction = prediction_of(screening, full_name)
    recorded = Recorded(now.isoformat(), (outcome_of(run, screening, full_name),))
    for entry in (prediction, recorded):
        ids = run.installation_id, run.repository_id, run.run_id
        await append_entry(connection, *ids, dump_entry(entry), now)


def _why_not(fitted: Fitted, run: Run, family: str) -> str:
    mine = next((own.outcome for own in fitted.known.own.values() if own.run_id == run.run_id), None)
    return why_not_counted(mine, fitted.calibration, family) if mine else ""
