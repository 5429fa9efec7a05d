"""One line of the answer of `assay doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What is not `required` is reported and does not fail the check-up."""

    name: str
    ok: bool
    found: str
    to_do: str = ""  # empty where all is well
    required: bool = True
