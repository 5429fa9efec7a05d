"""Versions of an installation's thresholds: each is stored with its inputs and can be recomputed from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.calibration.calibration_source import CalibrationSource, Fitted
from bot.calibration.inputs import InputsDeleted, dump_inputs, load_inputs, refit
from bot.calibration.shared_outcome import as_outcome
from bot.calibration.threshold_change import CalibrationChange, Flip, dump_change, flips
from bot.store.calibrations import StoredCalibration, calibrations_of, newest_calibration, save_calibration
from bot.store.database import Connection
from bot.store.ledger import entries_of, lock_ledger
from bot.store.shared_outcomes import shared_rows
from bot.store.verdicts import standing_verdicts
from pipeline.calibration.ledger_entries import Recorded, load_entry, parse_threshold
from pipeline.json_fields import Fields
from pipeline.records import Outcome, Threshold


@dataclass(frozen=True)
class NotRecomputable:
    reason: str


@dataclass(frozen=True)
class Rows:
    """The rows that stored inputs may refer to, by id, as far as they still exist."""

    own: Mapping[int, Outcome]
    shared: Mapping[int, Outcome]


async def load_rows(connection: Connection, installation_id: int) -> Rows:
    """Load own and shared rows. Raises MalformedError for a row written by a newer release."""
    own = {}
    for row in await entries_of(connection, installation_id):
        entry = load_entry(Fields(row.entry, f"ledger row {row.entry_id}"))
        if isinstance(entry, Recorded):
            own[row.entry_id] = entry.outcomes[0]
    shared = {row.shared_id: as_outcome(row) for row in await shared_rows(connection, installation_id)}
    return Rows(own, shared)


def recompute(stored: StoredCalibration, rows: Rows) -> Threshold | NotRecomputable:
    """Recompute a threshold from its stored inputs alone. Raises MalformedError."""
    try:
        return refit(load_inputs(stored.inputs), rows.own, rows.shared).threshold
    except InputsDeleted:
        return NotRecomputable("not recomputable: inputs deleted")


def threshold_of(stored: StoredCalibration) -> Threshold:
    """Parse the stored threshold. Raises MalformedError."""
    return parse_threshold(Fields(stored.threshold, "threshold"))


async def flips_of(
    connection: Connection, installation_id: int, label_recipe_id: str, before: Threshold, after: Threshold
) -> tuple[tuple[Flip, ...], int]:
    """Return the repositories whose verdict flips, and the number of verdicts compared."""
    verdicts = await standing_verdicts(connection, installation_id)
    judged = [standing for standing in verdicts if standing.label_recipe_id == label_recipe_id]
    return flips(judged, before, after), len(judged)


async def change_between(
    connection: Connection, installation_id: int, before: Fitted, after: Fitted
) -> CalibrationChange:
    """Return how replacing one calibration by another changes the installation's verdicts."""
    old, new = before.calibration, after.calibration
    turned, judged = await flips_of(connection, installation_id, new.label_recipe_id, old.threshold, new.threshold)
    return CalibrationChange(old.threshold, new.threshold, old.version, new.version, turned, judged)


async def save_change(
    connection: Connection,
    source: CalibrationSource,
    installation_id: int,
    before: Fitted,
    after: Fitted,
    change: CalibrationChange,
    run_id: int,
    now: datetime,
) -> None:
    """Save the new version; before an installation's first change also the version that it replaces."""
    recipe = after.calibration.label_recipe_id
    if await newest_calibration(connection, installation_id, recipe, source.family) is None:
        await _save(connection, source, installation_id, before, None, 0, now)
    await _save(connection, source, installation_id, after, change, run_id, now)


async def save_changed_versions(
    connection: Connection, source: CalibrationSource, installation_id: int, now: datetime
) -> list[CalibrationChange]:
    """Save a new version of each threshold whose inputs have changed, and return the changes.

    Inputs change when rows are deleted and when others share outcomes. Does nothing for a label recipe whose threshold
    no outcome has ever moved.
    """
    await lock_ledger(connection, installation_id)
    newest = {
        stored.label_recipe_id: stored
        for stored in await calibrations_of(connection, installation_id)
        if stored.base_model_family == source.family
    }
    changes = []
    for recipe, stored in sorted(newest.items()):
        fitted = await source.fitted(connection, installation_id, recipe)
        if stored.inputs != _as_json(dump_inputs(fitted.inputs)):
            change = await _change_since(connection, stored, fitted)
            await _save(connection, source, installation_id, fitted, change, 0, now)
            changes.append(change)
    return changes


async def _change_since(connection: Connection, stored: StoredCalibration, fitted: Fitted) -> CalibrationChange:
    before, after = threshold_of(stored), fitted.calibration.threshold
    turned = await flips_of(connection, stored.installation_id, stored.label_recipe_id, before, after)
    return CalibrationChange(before, after, stored.version, fitted.calibration.version, *turned)


def _as_json(values: dict[str, Any]) -> Any:
    """Turn tuples into lists, as the database returns them."""
    return json.loads(json.dumps(values, allow_nan=False))


async def _save(
    connection: Connection,
    source: CalibrationSource,
    installation_id: int,
    fitted: Fitted,
    change: CalibrationChange | None,
    run_id: int,
    now: datetime,
) -> None:
    calibration = fitted.calibration
    await save_calibration(
        connection,
        installation_id,
        calibration.label_recipe_id,
        source.family,
        calibration.version,
        dataclasses.asdict(calibration.threshold),
        dump_inputs(fitted.inputs),
        dump_change(change) if change else {},
        run_id,
        now,
    )
