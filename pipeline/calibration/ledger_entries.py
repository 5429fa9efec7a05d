"""Ledger entries and their JSON: predictions, outcomes and an operator's decisions.

An entry is one JSON object whose `kind` names its type; entries are in chronological order.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from pipeline.calibration.seed_json import parse_recipe_id
from pipeline.calibration.threshold import Calibration, parse_time
from pipeline.json_fields import Fields, parse_object
from pipeline.records import AssayError, Outcome, OutcomeKind, Provenance, Screening, Threshold

OUTCOME_KINDS: tuple[OutcomeKind, ...] = get_args(OutcomeKind)
PROVENANCES: tuple[Provenance, ...] = ("published", "measured")  # shared outcomes are kept in no file and no ledger


@dataclass(frozen=True, slots=True)
class Prediction:
    """A verdict recorded before its outcome was known."""

    at: str
    repo: str
    head_sha: str
    density: float | None
    density_low: float | None
    density_high: float | None
    threshold: float
    threshold_version: str
    verdict: Literal["RUN", "SKIP"]
    measurable: bool
    near_boundary: bool
    label_recipe_id: str
    config_hash: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Outcomes recorded together, in one line so that a crash leaves all or none."""

    at: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Excluded:
    """From here on no outcome of the repository counts, until an `Included` entry."""

    at: str
    repo: str
    reason: str


@dataclass(frozen=True, slots=True)
class Included:
    """The outcomes of the repository count again."""

    at: str
    repo: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """From here on this label recipe decides. Its seed is stored because a later release may ship another."""

    at: str
    label_recipe_id: str
    seed_outcomes: tuple[Outcome, ...]
    seed_threshold: Threshold | None


@dataclass(frozen=True, slots=True)
class Moved:
    """The threshold after a change; the newest decides ties of the next fit."""

    at: str
    label_recipe_id: str
    threshold: float
    version: str


Entry = Prediction | Recorded | Excluded | Included | Adopted | Moved

_KINDS: dict[str, type[Any]] = {
    "prediction": Prediction,
    "outcomes": Recorded,
    "exclude": Excluded,
    "include": Included,
    "adopt": Adopted,
    "threshold": Moved,
}
_NAMES = {entry: kind for kind, entry in _KINDS.items()}


def predict(screening: Screening, calibration: Calibration, at: str) -> Prediction:
    """Return the ledger entry of a screening judged by `calibration`; `at` is the current time in ISO 8601."""
    density, verdict = screening.density, screening.verdict
    return Prediction(
        at=at,
        repo=screening.mined.repo,
        head_sha=screening.mined.head_sha,
        density=density.value if density else None,
        density_low=density.low if density else None,
        density_high=density.high if density else None,
        threshold=screening.threshold.value,
        threshold_version=calibration.version,
        verdict=verdict.verdict,
        measurable=verdict.measurable,
        near_boundary=verdict.near_boundary,
        label_recipe_id=screening.label_recipe_id,
        config_hash=screening.config_hash,
    )


def dump_entry(entry: Entry) -> dict[str, Any]:
    """Return JSON values, except that tuples are not lists yet."""
    return {"kind": _NAMES[type(entry)], **dataclasses.asdict(entry)}


def render_entry(entry: Entry) -> bytes:
    """Render an entry as one line of ASCII, including the newline."""
    return json.dumps(dump_entry(entry), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def parse_entry(line: bytes, where: str) -> Entry:
    """Parse a line written by `render_entry`. Raises MalformedError."""
    return load_entry(parse_object(line, where))


def load_entry(fields: Fields) -> Entry:
    """Parse the values of `dump_entry` after a JSON round trip. Raises MalformedError."""
    kind = fields.text("kind")
    if kind not in _KINDS:
        fields.fail("kind", f"unknown kind {kind[:40]!a}: was it written by a newer version of Assay?")
    at = parse_time_field(fields, "at")
    if kind == "prediction":
        return _parse_prediction(fields, at)
    if kind == "outcomes":
        return Recorded(at, tuple(parse_outcome(item) for item in fields.objects("outcomes")))
    if kind == "exclude":
        return Excluded(at, fields.text("repo"), fields.text("reason"))
    if kind == "include":
        return Included(at, fields.text("repo"))
    if kind == "adopt":
        return _parse_adopted(fields, at)
    return Moved(
        at, parse_recipe_id(fields, "label_recipe_id"), fields.number("threshold", 0, 1), fields.text("version")
    )


def parse_time_field(fields: Fields, key: str) -> str:
    """Return the text of a field that holds an ISO 8601 time or nothing. Raises MalformedError."""
    text = fields.text(key, empty=True)
    try:
        parse_time(text)
    except AssayError as error:
        fields.fail(key, str(error))
    return text


def _parse_prediction(fields: Fields, at: str) -> Prediction:
    return Prediction(
        at=at,
        repo=fields.text("repo"),
        head_sha=fields.text("head_sha"),
        density=_optional_number(fields, "density", 0, 1),
        density_low=_optional_number(fields, "density_low", 0, 1),
        density_high=_optional_number(fields, "density_high", 0, 1),
        threshold=fields.number("threshold", 0, 1),
        threshold_version=fields.text("threshold_version"),
        verdict=fields.choice("verdict", ("RUN", "SKIP")),
        measurable=fields.flag("measurable"),
        near_boundary=fields.flag("near_boundary"),
        label_recipe_id=parse_recipe_id(fields, "label_recipe_id"),
        config_hash=fields.text("config_hash", empty=True),
    )


def _parse_adopted(fields: Fields, at: str) -> Adopted:
    return Adopted(
        at=at,
        label_recipe_id=parse_recipe_id(fields, "label_recipe_id"),
        seed_outcomes=tuple(parse_outcome(item) for item in fields.objects("seed_outcomes")),
        seed_threshold=fields.optional("seed_threshold", lambda: parse_threshold(fields.inner("seed_threshold"))),
    )


def parse_threshold(fields: Fields) -> Threshold:
    """Parse a threshold with its band. Raises MalformedError."""
    return Threshold(
        value=fields.number("value", 0, 1),
        band_low=fields.number("band_low", 0, 1),
        band_high=fields.number("band_high", 0, 2),
        source=fields.choice("source", ("calibration", "seed", "borrowed")),
        separable=fields.flag("separable"),
    )


def parse_outcome(fields: Fields) -> Outcome:
    """Parse an outcome, checking kind, time and the ranges of density and ρ. Raises MalformedError."""
    return Outcome(
        repo=fields.text("repo"),
        density=fields.number("density", 0, 1),
        outcome=fields.choice("outcome", OUTCOME_KINDS),
        provenance=fields.choice("provenance", PROVENANCES),
        label_recipe_id=parse_recipe_id(fields, "label_recipe_id"),
        decided_at=parse_time_field(fields, "decided_at") if "decided_at" in fields else "",
        base_model_family=fields.text("base_model_family") if "base_model_family" in fields else "published",
        density_low=_optional_number(fields, "density_low", 0, 1),
        density_high=_optional_number(fields, "density_high", 0, 1),
        pairs=fields.optional("pairs", lambda: fields.whole("pairs")),
        rho_adapter=_optional_number(fields, "rho_adapter", -1, 1),
        rho_baseline=_optional_number(fields, "rho_baseline", -1, 1),
        excluded_because=fields.text("excluded_because", empty=True) if "excluded_because" in fields else "",
        weight=fields.number("weight", 0, 1) if "weight" in fields else 1.0,
    )


def _optional_number(fields: Fields, key: str, low: float, high: float) -> float | None:
    return fields.optional(key, lambda: fields.number(key, low, high))


def equal_except_time(one: Entry, other: Entry) -> bool:
    """Return whether two entries differ at most in their time."""
    return type(one) is type(other) and dataclasses.replace(cast(Any, one), at="") == dataclasses.replace(
        cast(Any, other), at=""
    )
