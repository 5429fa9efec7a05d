"""Sync the rows that an installation shares with its ledger and configuration: add new ones, withdraw stale ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bot.calibration.calibration_source import CalibrationSource
from bot.calibration.installation_set import InstallationSet, OwnOutcome
from bot.calibration.shared_outcome import figures_of
from bot.store.database import Connection
from bot.store.ledger import lock_ledger
from bot.store.shared_outcomes import SharedFigures, share, shared_rows, take_back
from pipeline.calibration.threshold import select_points

RepositoryFigures = tuple[int, SharedFigures]  # repository id, figures


@dataclass(frozen=True)
class Plan:
    """Figures to share and row ids to withdraw."""

    added: tuple[RepositoryFigures, ...]
    stale: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.stale)


async def plan_sharing(
    connection: Connection, source: CalibrationSource, installation_id: int, willing: Collection[int]
) -> Plan:
    """Compare shared rows with the ledger. `willing`: repositories whose configuration permits sharing."""
    gives = await source.shares(connection, installation_id)
    installation_set = await source.installation_set(connection, installation_id)
    wanted = set(shareable_outcomes(installation_set, willing)) if gives else set()
    rows = await shared_rows(connection, installation_id)
    there = {(row.repository_id, row.figures): row.shared_id for row in rows if row.own and row.repository_id}
    added = tuple(sorted(wanted - there.keys(), key=repr))
    return Plan(added, tuple(sorted(there[given] for given in there.keys() - wanted)))


async def sync_sharing(
    connection: Connection, source: CalibrationSource, installation_id: int, willing: Collection[int]
) -> None:
    """Apply `plan_sharing` under the ledger's lock."""
    await lock_ledger(connection, installation_id)
    plan = await plan_sharing(connection, source, installation_id, willing)
    for repository_id, figures in plan.added:
        await share(connection, installation_id, repository_id, figures)
    await take_back(connection, installation_id, plan.stale)


def shareable_outcomes(installation_set: InstallationSet, willing: Collection[int]) -> list[RepositoryFigures]:
    """Return the newest conclusive outcome of each repository, per label recipe and model family.

    Skips outcomes measured with a repository's own configuration: they are not comparable across installations.
    """
    shareable = []
    for own in _newest(installation_set):
        figures = figures_of(own.outcome)
        if figures is not None and own.repository_id in willing and not own.config_hash:
            shareable.append((own.repository_id, figures))
    return shareable


def _newest(installation_set: InstallationSet) -> Iterable[OwnOutcome]:
    outcomes = list(installation_set.own)
    for recipe, family in sorted({(o.label_recipe_id, o.base_model_family) for o in outcomes}):
        of_family = [outcome for outcome in outcomes if outcome.base_model_family == family]
        yield from (installation_set.own[point] for point in select_points(of_family, recipe))
