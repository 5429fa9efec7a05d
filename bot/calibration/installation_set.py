"""The calibration set of an installation: the server's set, its own ledger and shared outcomes, merged. Pure functions.

Repositories are identified by number and shown under their current name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.store.ledger import LedgerRow
from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.ledger_entries import Entry, Excluded, Included, Prediction, Recorded, load_entry
from pipeline.json_fields import Fields
from pipeline.records import Outcome


@dataclass(frozen=True)
class OwnOutcome:
    """An outcome measured in this installation."""

    entry_id: int
    repository_id: int
    run_id: int
    outcome: Outcome
    config_hash: str  # of the repository's configuration; empty if it had none


@dataclass(frozen=True)
class InstallationSet:
    """The calibration set of an installation, with the database rows of its outcomes."""

    calibration_set: CalibrationSet
    own: Mapping[Outcome, OwnOutcome] = field(default_factory=dict)
    shared: Mapping[Outcome, int] = field(default_factory=dict)  # row ids
    own_exclusions: Mapping[str, str] = field(default_factory=dict)  # in this ledger: repository -> reason


@dataclass(frozen=True)
class NamedEntry:
    """A ledger row with its parsed entry, under the repository's current name."""

    row: LedgerRow
    name: str
    entry: Entry


def build_installation_set(
    base: CalibrationSet,
    rows: Sequence[LedgerRow],
    shared: Mapping[Outcome, int],
    base_model_family: str | None = None,
) -> InstallationSet:
    """Merge the sets. Ties go to the cut nearest the seed's threshold, not to the one nearest the previous threshold.

    So the threshold depends on the outcomes alone and not on the order in which they arrived. Raises MalformedError for
    a row written by a newer release.
    """
    read = read_rows(rows)
    exclusions = _exclusions(read)
    own = {found.outcome: found for found in own_outcomes(read, {**base.exclusions, **exclusions})}
    outcomes = (*base.outcomes, *own, *shared)
    calibration_set = replace(
        base,
        outcomes=tuple(dict.fromkeys(outcomes)),
        exclusions={**base.exclusions, **exclusions},
        previous={},
        predictions=tuple(item.entry for item in read if isinstance(item.entry, Prediction)),
        history=tuple(item.entry for item in read),
        base_model_family=base_model_family,
    )
    return InstallationSet(calibration_set, own, dict(shared), exclusions)


def read_rows(rows: Sequence[LedgerRow]) -> list[NamedEntry]:
    """Parse ledger rows. Raises MalformedError."""
    names = _names(rows)
    read = []
    for row in rows:
        entry = load_entry(Fields(row.entry, f"ledger row {row.entry_id}"))
        read.append(NamedEntry(row, names[row.repository_id], _renamed(entry, names[row.repository_id])))
    return read


def _names(rows: Sequence[LedgerRow]) -> dict[int, str]:
    """Return a unique name per repository, also while GitHub's notice of a rename has not arrived yet."""
    names = {row.repository_id: row.full_name for row in rows}
    taken = Counter(names.values())
    return {number: name if taken[name] == 1 else f"{name} ({number})" for number, name in names.items()}


def _renamed(entry: Entry, name: str) -> Entry:
    if isinstance(entry, Recorded):
        return replace(entry, outcomes=tuple(replace(outcome, repo=name) for outcome in entry.outcomes))
    if isinstance(entry, Prediction | Excluded | Included):
        return replace(entry, repo=name)
    return entry


def _exclusions(read: Sequence[NamedEntry]) -> dict[str, str]:
    """Return the active exclusions: current name -> reason."""
    active: dict[str, str] = {}
    for item in read:
        if isinstance(item.entry, Excluded):
            active[item.name] = item.entry.reason
        elif isinstance(item.entry, Included):
            active.pop(item.name, None)
    return active


def own_outcomes(read: Sequence[NamedEntry], exclusions: Mapping[str, str]) -> list[OwnOutcome]:
    """List the installation's outcomes in the order of the ledger."""
    configurations = {item.row.run_id: item.entry.config_hash for item in read if isinstance(item.entry, Prediction)}
    return [
        OwnOutcome(
            entry_id=item.row.entry_id,
            repository_id=item.row.repository_id,
            run_id=item.row.run_id,
            outcome=replace(outcome, excluded_because=exclusions.get(item.name, "")),
            config_hash=configurations.get(item.row.run_id, ""),
        )
        for item in read
        if isinstance(item.entry, Recorded)
        for outcome in item.entry.outcomes
    ]
