"""The thresholds of an installation, with their inputs and the verdicts that they flipped. Append-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import calibrations

_c = calibrations.c


@dataclass(frozen=True)
class StoredCalibration:
    calibration_id: int
    installation_id: int
    at: datetime
    label_recipe_id: str
    base_model_family: str  # empty: all families
    version: str
    threshold: Mapping[str, Any]
    inputs: Mapping[str, Any]  # bot.calibration.inputs
    run_id: int  # whose outcome caused it; 0: none
    flips: Mapping[str, Any]  # bot.calibration.threshold_change; empty for the first one


async def save_calibration(
    connection: AsyncConnection,
    installation_id: int,
    label_recipe_id: str,
    base_model_family: str,
    version: str,
    threshold: Mapping[str, Any],
    inputs: Mapping[str, Any],
    flips: Mapping[str, Any],
    run_id: int,
    now: datetime,
) -> int:
    """Append a threshold and return its id."""
    values = {
        "installation_id": installation_id,
        "at": now,
        "label_recipe_id": label_recipe_id,
        "base_model_family": base_model_family,
        "version": version,
        "threshold": dict(threshold),
        "inputs": dict(inputs),
        "run_id": run_id,
        "flips": dict(flips),
    }
    made = insert(calibrations).values(**values).returning(_c.calibration_id)
    return int((await connection.execute(made)).scalar_one())


async def calibrations_of(connection: AsyncConnection, installation_id: int) -> list[StoredCalibration]:
    """Return all thresholds of an installation, oldest first."""
    wanted = select(calibrations).where(_c.installation_id == installation_id).order_by(_c.calibration_id)
    return [_stored(row) for row in await connection.execute(wanted)]


async def newest_calibration(
    connection: AsyncConnection, installation_id: int, label_recipe_id: str, base_model_family: str
) -> StoredCalibration | None:
    of_it = _c.label_recipe_id == label_recipe_id, _c.base_model_family == base_model_family
    return await _newest(connection, _c.installation_id == installation_id, *of_it)


async def calibration_of_run(
    connection: AsyncConnection, installation_id: int, run_id: int
) -> StoredCalibration | None:
    """Return the threshold that the outcome of a run caused."""
    return await _newest(connection, _c.installation_id == installation_id, _c.run_id == run_id)


async def _newest(connection: AsyncConnection, *where: ColumnElement[bool]) -> StoredCalibration | None:
    wanted = select(calibrations).where(*where).order_by(_c.calibration_id.desc()).limit(1)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredCalibration:
    return StoredCalibration(**row._mapping)
