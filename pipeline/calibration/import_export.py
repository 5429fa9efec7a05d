"""The file format of `assay calibration export` and `import`, which moves a calibration set between installations."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.ledger_entries import Entry, Excluded, Recorded, parse_outcome
from pipeline.json_fields import parse_object
from pipeline.records import Outcome

SCHEMA_VERSION = 1
FORMAT = "assay-calibration"


def render_exchange(outcomes: Sequence[Outcome]) -> str:
    """Render outcomes with all their fields, including exclusions and their reasons."""
    whole = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def parse_exchange(raw: bytes, where: str) -> tuple[Outcome, ...]:
    """Parse the outcomes in an exported file. Raises MalformedError that names the first bad field."""
    fields = parse_object(raw, where)
    if fields.text("format") != FORMAT:
        fields.fail("format", f"expected {FORMAT}: this file was not written by `assay calibration export`")
    fields.require_schema(SCHEMA_VERSION)
    return tuple(parse_outcome(item) for item in fields.objects("outcomes"))


@dataclass(frozen=True, slots=True)
class Import:
    """What an import adds. Known outcomes are skipped, so importing twice changes nothing."""

    outcomes: tuple[Outcome, ...]
    exclusions: tuple[tuple[str, str], ...]  # (repository, reason)
    known: int  # outcomes skipped

    def entries(self, at: str) -> tuple[Entry, ...]:
        """Return the ledger entries that carry out the import; `at` is ISO 8601."""
        recorded = (Recorded(at, self.outcomes),) if self.outcomes else ()
        return (*recorded, *(Excluded(at, repo, reason) for repo, reason in self.exclusions))


def plan_import(outcomes: Sequence[Outcome], calibration_set: CalibrationSet) -> Import:
    """Plan an import. It adds exclusions and never lifts those made here."""
    known = {replace(outcome, excluded_because="") for outcome in calibration_set.outcomes}
    plain = dict.fromkeys(replace(outcome, excluded_because="") for outcome in outcomes)
    new = tuple(outcome for outcome in plain if outcome not in known)
    excluded = {o.repo: o.excluded_because for o in outcomes if o.excluded_because}
    added = tuple((repo, reason) for repo, reason in excluded.items() if repo not in calibration_set.exclusions)
    return Import(new, added, len(plain) - len(new))
