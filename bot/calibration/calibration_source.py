"""Where the App gets a calibration from: put together for each installation, made once and kept until something of it
changes.

The threshold is one of a label recipe and of a family of base models: of the family of the server's default model,
unless another is asked for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from bot.calibration.inputs import Inputs, inputs_of
from bot.calibration.installation_set import Known, put_together
from bot.calibration.shared_outcome import usable
from bot.repo_config.stored import load_config
from bot.store.configs import load_configs
from bot.store.database import Connection
from bot.store.ledger import entries_of
from bot.store.shared_outcomes import shared_rows
from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.threshold import Calibration
from pipeline.records import Outcome

Scope = Literal["installation", "server"]

MOST_KEPT: Final = 500  # calibrations: a fit takes longer than reading what it is made of


@dataclass(frozen=True)
class Fitted:
    """A calibration with the set that it is of and the points that it was made of."""

    known: Known
    calibration: Calibration
    inputs: Inputs


_Key = tuple[int, str, str]


class CalibrationSource:
    """One of each in a process.

    `base` gives the server's own calibration set: the shipped seed, and what the operator's ledger says. It is called
    in a thread, each time, and may raise AssayError. `family` is that of the server's default base model, empty for
    outcomes of any.
    """

    def __init__(self, base: Callable[[], CalibrationSet], *, scope: Scope = "installation", family: str = "") -> None:
        self._base = base
        self._kept: OrderedDict[_Key, Fitted] = OrderedDict()
        self.scope = scope
        self.family = family

    async def of(
        self,
        connection: Connection,
        installation_id: int,
        label_recipe_id: str = "",
        *,
        family: str | None = None,
    ) -> Calibration:
        """The calibration in force: of the label recipe that decides and of the server's family, or of others."""
        return (await self.fitted(connection, installation_id, label_recipe_id, family=family)).calibration

    async def fitted(
        self,
        connection: Connection,
        installation_id: int,
        label_recipe_id: str = "",
        *,
        family: str | None = None,
    ) -> Fitted:
        """Raises AssayError where no threshold can be told, and where a row is of a newer release."""
        wanted = self.family if family is None else family
        known = await self.known(connection, installation_id, family=wanted)
        recipe = label_recipe_id or known.calibration_set.deciding
        key = installation_id, recipe, wanted
        kept = self._kept.pop(key, None)
        if kept is None or kept.known != known:
            calibration = known.calibration_set.calibrate(recipe)
            kept = Fitted(known, calibration, inputs_of(known, calibration))
        self._kept[key] = kept
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def known(self, connection: Connection, installation_id: int, *, family: str = "") -> Known:
        """Everything that the installation's thresholds are made of."""
        base = await asyncio.to_thread(self._base)
        rows = await entries_of(connection, installation_id)
        shared = await self._shared(connection, installation_id)
        return put_together(base, rows, shared, family or None)

    async def _shared(self, connection: Connection, installation_id: int) -> dict[Outcome, int]:
        """Outcomes of others, where the operator and the installation's own organization both want that."""
        if not await self.shares(connection, installation_id):
            return {}
        rows = await shared_rows(connection, installation_id)
        points = usable(rows)
        numbers = {f"shared {row.shared_id}": row.shared_id for row in rows}
        return {point: numbers[point.repo] for point in points}

    async def shares(self, connection: Connection, installation_id: int) -> bool:
        """Whether this installation gives and takes."""
        if self.scope != "server":
            return False
        organization, _ = await load_configs(connection, installation_id, 0)
        return load_config(organization).parsed.config.share_outcomes is True
