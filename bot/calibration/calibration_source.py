"""Calibrations per installation, cached until one of their inputs changes.

A threshold belongs to a label recipe and a family of base models: by default, that of the server's default model.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from bot.calibration.inputs import Inputs, inputs_of
from bot.calibration.installation_set import InstallationSet, build_installation_set
from bot.calibration.shared_outcome import weigh_shared
from bot.repo_config.stored import load_config
from bot.store.configs import load_configs
from bot.store.database import Connection
from bot.store.ledger import entries_of
from bot.store.shared_outcomes import shared_rows
from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.threshold import Calibration
from pipeline.records import Outcome

Scope = Literal["installation", "server"]

MAX_CACHED: Final = 500  # calibrations: fitting takes longer than reading the inputs


@dataclass(frozen=True)
class Fitted:
    """A calibration with the set it was fitted to and the inputs to store with it."""

    installation_set: InstallationSet
    calibration: Calibration
    inputs: Inputs


_Key = tuple[int, str, str]


class CalibrationSource:
    """Calibrations of all installations. Create one per process.

    `base` returns the server's calibration set, which is the shipped seed with the operator's ledger. It is called in
    a thread on every use and may raise AssayError. `family` is that of the server's default base model; empty: any.
    """

    def __init__(self, base: Callable[[], CalibrationSet], *, scope: Scope = "installation", family: str = "") -> None:
        self._base = base
        self._cache: OrderedDict[_Key, Fitted] = OrderedDict()
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
        """Return the calibration in effect; by default of the deciding label recipe and the server's family."""
        return (await self.fitted(connection, installation_id, label_recipe_id, family=family)).calibration

    async def fitted(
        self,
        connection: Connection,
        installation_id: int,
        label_recipe_id: str = "",
        *,
        family: str | None = None,
    ) -> Fitted:
        """Fit the calibration, or return the cached one. Raises AssayError if there is no threshold.

        Raises it too for a ledger row written by a newer release.
        """
        wanted = self.family if family is None else family
        installation_set = await self.installation_set(connection, installation_id, family=wanted)
        recipe = label_recipe_id or installation_set.calibration_set.deciding
        key = installation_id, recipe, wanted
        cached = self._cache.pop(key, None)
        if cached is None or cached.installation_set != installation_set:
            calibration = installation_set.calibration_set.calibrate(recipe)
            cached = Fitted(installation_set, calibration, inputs_of(installation_set, calibration))
        self._cache[key] = cached
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return cached

    async def installation_set(
        self, connection: Connection, installation_id: int, *, family: str = ""
    ) -> InstallationSet:
        """Load everything that the installation's thresholds are fitted to."""
        base = await asyncio.to_thread(self._base)
        rows = await entries_of(connection, installation_id)
        shared = await self._shared(connection, installation_id)
        return build_installation_set(base, rows, shared, family or None)

    async def _shared(self, connection: Connection, installation_id: int) -> dict[Outcome, int]:
        """Load others' outcomes with their row ids; none unless both operator and organization agreed to sharing."""
        if not await self.shares(connection, installation_id):
            return {}
        rows = await shared_rows(connection, installation_id)
        points = weigh_shared(rows)
        numbers = {f"shared {row.shared_id}": row.shared_id for row in rows}
        return {point: numbers[point.repo] for point in points}

    async def shares(self, connection: Connection, installation_id: int) -> bool:
        """Return whether this installation shares its outcomes, and so may use those of others."""
        if self.scope != "server":
            return False
        organization, _ = await load_configs(connection, installation_id, 0)
        return load_config(organization).parsed.config.share_outcomes is True
