"""What an installation shares, brought to what its ledger and its configuration say now: added, or taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bot.calibration.calibration_source import CalibrationSource
from bot.calibration.installation_set import Known, OwnOutcome
from bot.calibration.shared_outcome import figures_of
from bot.store.database import Connection
from bot.store.ledger import lock_ledger
from bot.store.shared_outcomes import SharedFigures, share, shared_rows, take_back
from pipeline.calibration.threshold import select_points

Given = tuple[int, SharedFigures]  # number of the repository, and what is told of it


@dataclass(frozen=True)
class Plan:
    """What is to be added, and the numbers of the rows to be taken back."""

    added: tuple[Given, ...]
    stale: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.stale)


async def plan_sharing(
    connection: Connection, source: CalibrationSource, installation_id: int, willing: Collection[int]
) -> Plan:
    """`willing`: the repositories whose configuration lets them share."""
    gives = await source.shares(connection, installation_id)
    known = await source.known(connection, installation_id)
    wanted = set(to_be_shared(known, willing)) if gives else set()
    rows = await shared_rows(connection, installation_id)
    there = {(row.repository_id, row.figures): row.shared_id for row in rows if row.own and row.repository_id}
    added = tuple(sorted(wanted - there.keys(), key=repr))
    return Plan(added, tuple(sorted(there[given] for given in there.keys() - wanted)))


async def share_anew(
    connection: Connection, source: CalibrationSource, installation_id: int, willing: Collection[int]
) -> None:
    """Do what `plan_sharing` says now."""
    await lock_ledger(connection, installation_id)
    plan = await plan_sharing(connection, source, installation_id, willing)
    for repository_id, figures in plan.added:
        await share(connection, installation_id, repository_id, figures)
    await take_back(connection, installation_id, plan.stale)


def to_be_shared(known: Known, willing: Collection[int]) -> list[Given]:
    """The newest conclusive outcome of each repository, for each label recipe and family of models.

    None that was measured with the repository's own lists: it is not comparable with what others measure.
    """
    found = []
    for own in _newest(known):
        figures = figures_of(own.outcome)
        if figures is not None and own.repository_id in willing and not own.config_hash:
            found.append((own.repository_id, figures))
    return found


def _newest(known: Known) -> Iterable[OwnOutcome]:
    outcomes = list(known.own)
    for recipe, family in sorted({(o.label_recipe_id, o.base_model_family) for o in outcomes}):
        of_family = [outcome for outcome in outcomes if outcome.base_model_family == family]
        yield from (known.own[point] for point in select_points(of_family, recipe))
