"""What is kept of an adapter that was trained once more, and of the run that was judged, as JSON and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from pipeline import typed_json
from pipeline.finetuning.refit_result import Judged, RefitRecord
from pipeline.json_fields import MalformedError
from pipeline.records import AssayError
from pipeline.reports.escape import encodable

_T = TypeVar("_T")


def render_refit_files(record: RefitRecord) -> dict[str, bytes]:
    """What stands beside the adapters, by name."""
    return {"result.json": json.dumps(refit_json(record), indent=1, allow_nan=False).encode() + b"\n"}


def refit_json(record: RefitRecord) -> dict[str, Any]:
    """JSON values; times in seconds since 1970. Raises ValueError for a number that is not finite."""
    values = _json_values(record)
    values["repo"] = encodable(record.repo)
    return values


def refit_of(value: object, where: str = "refit") -> RefitRecord:
    """A record from JSON values; what stands beside its fields is ignored. Raises MalformedError."""
    return _parse(RefitRecord, value, where)


def judged_json(judged: Judged) -> dict[str, Any]:
    """JSON values: what to keep of a run that won. Raises ValueError for a number that is not finite."""
    return _json_values(judged)


def load_judged(value: object, where: str = "judged") -> Judged:
    """A run that won from JSON values; what stands beside its fields is ignored. Raises MalformedError."""
    return _parse(Judged, value, where)


def _json_values(value: RefitRecord | Judged) -> dict[str, Any]:
    """Lists for tuples, so that what is compared before and after the database is equal."""
    made: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), allow_nan=False))
    return made


def _parse(kind: type[_T], value: object, where: str) -> _T:
    if not isinstance(value, dict):
        raise MalformedError(f"{where}: an object is wanted")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        return typed_json.parse(kind, {name: part for name, part in value.items() if name in known})
    except (AssayError, ValueError) as error:  # a recipe that makes no sense is the former
        raise MalformedError(f"{where}: {error}") from None
