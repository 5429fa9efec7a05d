"""Our own fine-tuning results on the repositories of the published table: reproduced.json, written by the bench."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.records import AssayError

RESOURCE = "reproduced.json"


@dataclass(frozen=True, slots=True)
class Reproduced:
    """One run of `assay finetune` on the pinned head of a published repository."""

    name: str  # owner/name as published
    head_sha: str
    base_model: str
    max_tokens: int
    seeds: int
    recipe_id: str
    outcome: str
    rho_adapter: float | None
    rho_baseline: float | None
    delta: float | None
    delta_low: float | None
    delta_high: float | None
    n: int
    positives: int
    rho_frozen: float | None  # frozen embeddings + ridge of the same base model
    best_cheap: str | None
    rho_best_cheap: float | None
    rho_shuffled: float | None  # of an adapter trained on shuffled labels; None if not run


def parse_reproduced(text: str) -> dict[str, Reproduced]:
    """Parse reproduced.json into rows by name. Raises AssayError for any other text."""
    try:
        rows: list[dict[str, Any]] = json.loads(text)
        return {row["name"]: Reproduced(**row) for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        raise AssayError(f"{RESOURCE} is damaged ({error}): `make reproduce-table` writes it") from None


def render_reproduced(rows: Iterable[Reproduced]) -> str:
    """Render rows as the text of reproduced.json."""
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


def reproduced_of(name: str, result: Mapping[str, Any], shuffled: Mapping[str, Any] | None) -> Reproduced:
    """Build the row of one run from the JSON of `assay finetune` and of its shuffled-label control, if any."""
    scorers = result["scorers"]
    frozen = next((row["rho"] for key, row in scorers.items() if key.startswith("frozen embeddings")), None)
    best = result["best_cheap"]
    return Reproduced(
        name=name,
        head_sha=result["head_sha"],
        base_model=result["base_model_family"],
        max_tokens=result["recipe"]["max_tokens"],
        seeds=len(result["seeds_completed"]),
        recipe_id=result["recipe_id"],
        outcome=result["outcome"],
        rho_adapter=result["rho_adapter"],
        rho_baseline=result["rho_baseline"],
        delta=result["delta"],
        delta_low=result["delta_low"],
        delta_high=result["delta_high"],
        n=result["n"],
        positives=result["positives"],
        rho_frozen=frozen,
        best_cheap=best,
        rho_best_cheap=None if best is None else scorers[best]["rho"],
        rho_shuffled=None if shuffled is None else shuffled["rho_adapter"],
    )


def load_reproduced() -> dict[str, Reproduced]:
    """Load the rows shipped with this release. Raises AssayError if the file is damaged."""
    return parse_reproduced((files("pipeline.calibration") / RESOURCE).read_text(encoding="utf-8"))
