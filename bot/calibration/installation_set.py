"""What an installation knows: the server's own calibration set, its ledger's rows and what others share, as one set.

Pure functions of rows. A repository is one by its number, whatever names it had; it is shown by the one it has now.
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
    """An outcome that was measured here."""

    entry_id: int
    repository_id: int
    run_id: int
    outcome: Outcome
    config_hash: str  # of the repository's own configuration, where it was measured with one


@dataclass(frozen=True)
class Known:
    """The calibration set of an installation, and where its points are written down."""

    calibration_set: CalibrationSet
    own: Mapping[Outcome, OwnOutcome] = field(default_factory=dict)
    shared: Mapping[Outcome, int] = field(default_factory=dict)  # numbers of their rows
    own_exclusions: Mapping[str, str] = field(default_factory=dict)  # by this ledger: repository -> reason


@dataclass(frozen=True)
class Read:
    """A ledger row whose entry has been read, under the repository's present name."""

    row: LedgerRow
    name: str
    entry: Entry


def put_together(
    base: CalibrationSet,
    rows: Sequence[LedgerRow],
    shared: Mapping[Outcome, int],
    base_model_family: str | None = None,
) -> Known:
    """The set of an installation. Ties go to the cut nearest the seed's threshold and not nearest the one before.

    So the threshold follows from the outcomes alone, whatever the order in which they came in (DESIGN.md would let the
    previous threshold decide, and then it does not). Raises MalformedError for a row of a newer release.
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
    return Known(calibration_set, own, dict(shared), exclusions)


def read_rows(rows: Sequence[LedgerRow]) -> list[Read]:
    """Raises MalformedError."""
    names = _names(rows)
    read = []
    for row in rows:
        entry = load_entry(Fields(row.entry, f"ledger row {row.entry_id}"))
        read.append(Read(row, names[row.repository_id], _renamed(entry, names[row.repository_id])))
    return read


def _names(rows: Sequence[LedgerRow]) -> dict[int, str]:
    """Two repositories never share a name, not even while GitHub's news of a renaming are on their way."""
    names = {row.repository_id: row.full_name for row in rows}
    taken = Counter(names.values())
    return {number: name if taken[name] == 1 else f"{name} ({number})" for number, name in names.items()}


def _renamed(entry: Entry, name: str) -> Entry:
    if isinstance(entry, Recorded):
        return replace(entry, outcomes=tuple(replace(outcome, repo=name) for outcome in entry.outcomes))
    if isinstance(entry, Prediction | Excluded | Included):
        return replace(entry, repo=name)
    return entry


def _exclusions(read: Sequence[Read]) -> dict[str, str]:
    """Those in force, by present name."""
    found: dict[str, str] = {}
    for item in read:
        if isinstance(item.entry, Excluded):
            found[item.name] = item.entry.reason
        elif isinstance(item.entry, Included):
            found.pop(item.name, None)
    return found


def own_outcomes(read: Sequence[Read], exclusions: Mapping[str, str]) -> list[OwnOutcome]:
    """In the order in which they came in."""
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
