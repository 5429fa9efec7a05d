"""The JSON of runs and refits: `assay finetune --json`, `result.json`, and what the App stores.

docs/reference/json.md documents the fields of a run. A refit and its winning run are read back as well.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from pipeline.finetuning.comparison import FROZEN
from pipeline.finetuning.ranker import ADAPTER
from pipeline.finetuning.result import (
    Costs,
    Curve,
    FinetuneResult,
    Judgement,
    RefitRecord,
    RefitResult,
    SeedRun,
    WinningRun,
)
from pipeline.json_fields import MalformedError, parse_record
from pipeline.ranking.evaluate import BASELINE
from pipeline.ranking.statistics import Comparison
from pipeline.reports.escape import encodable
from pipeline.reports.evaluation_json import comparison_json, scorer_json
from pipeline.reports.finite import require_finite
from pipeline.reports.numbers import iso

RESULT_FILE = "result.json"

_T = TypeVar("_T")


def finetune_json(result: FinetuneResult) -> dict[str, object]:
    """Return the JSON of a run; times in ISO 8601 (UTC), shares in [0, 1], null for missing numbers.

    Raises ValueError for a number that is not finite: JSON has none, and such an outcome must not pass silently.
    """
    fields: dict[str, object] = {
        **_judgement(result.judgement),
        "control": result.control,
        "counts": result.counts,
        "repo": encodable(result.repo),
        "head_sha": result.head_sha,
        "train_start": iso(result.train_start),
        "eval_start": iso(result.eval_start),
        "as_of": iso(result.as_of),
        "trained_on": result.trained_on,
        "training_positives": result.training_positives,
        "seeds_planned": list(result.recipe.seeds),
        "seeds_completed": [run.seed for run in result.runs],
        "ended": result.ended,
        "curves": {str(run.seed): _curves(run) for run in result.runs},
        "recipe_id": result.recipe_id,
        "label_recipe_id": result.label_recipe_id,
        "config_hash": result.config_hash,
        "pair_set_id": result.pair_set_id,
        "recipe": _recipe(result),
        "base_model_family": result.recipe.base_model.family,
        **_costs(result.costs),
        "device": result.device,
        "versions": dict(sorted(result.versions.items())),
        "adapters": {str(seed): dict(sorted(files.items())) for seed, files in sorted(result.adapters.items())},
        "notes": [encodable(note) for note in result.notes],
    }
    require_finite("finetune", fields)
    return fields


def _judgement(judgement: Judgement) -> dict[str, object]:
    adapter, baseline, frozen = (judgement.row(name) for name in (ADAPTER, BASELINE, FROZEN))
    official = (adapter.against_baseline if adapter else None) or Comparison(reason=judgement.reason)
    rho = adapter.quality.rho if adapter else None
    frozen_rho = frozen.quality.rho if frozen else None
    return {
        "outcome": judgement.outcome,
        "reason": judgement.reason,
        "rho_adapter": rho,
        "rho_baseline": baseline.quality.rho if baseline else None,
        "delta": official.delta,
        "delta_low": official.low,
        "delta_high": official.high,
        "smallest_detectable": official.smallest_detectable,
        "win_share": official.win_share,
        "n": judgement.n,
        "positives": judgement.positives,
        "prevalence": judgement.prevalence,
        "rho_max": judgement.rho_max,
        "best_cheap": judgement.best_cheap,
        "beats_best_cheap": judgement.beats_best_cheap,
        "against_best_cheap": comparison_json(judgement.against_best_cheap),
        "beats_frozen_embeddings": None if rho is None or frozen_rho is None else rho > frozen_rho,
        "scorers": {row.name: scorer_json(row) for row in judgement.rows},
    }


def _curves(run: SeedRun) -> dict[str, object]:
    return {
        "losses": _points(run.fit.losses),
        "validation_rhos": _points(run.fit.validations),
        "planned_steps": run.fit.planned_steps,
        "chosen_steps": run.fit.steps,
        "refit_losses": _points(run.refit_losses),
        "refit_steps": run.refit_steps,
        "ended": run.fit.ended or run.refit_ended,
    }


def _points(curve: Curve) -> list[list[float]]:
    return [[step, value] for step, value in curve]


def _recipe(result: FinetuneResult) -> dict[str, object]:
    recipe = dataclasses.asdict(result.recipe)
    recipe["seeds"] = list(result.recipe.seeds)
    recipe["base_model"]["name"] = encodable(result.recipe.base_model.name)
    return recipe


def _costs(costs: Costs) -> dict[str, object]:
    rate, padding = costs.training.tokens_per_second, costs.training.padding_share
    return {
        "gpu_seconds": round(costs.device_seconds, 3),
        "tokens": costs.training.tokens,
        "tokens_per_second": None if rate is None else round(rate, 1),
        "padding_share": None if padding is None else round(padding, 6),
        "training_seconds": round(costs.training.seconds, 3),
        "flops": costs.flops,
        "estimate": {
            "tokens": costs.expected_tokens,
            "flops": costs.expected_flops,
            "minutes": None if costs.expected_minutes is None else round(costs.expected_minutes, 2),
        },
    }


def refit_json(record: RefitRecord) -> dict[str, Any]:
    """Return the JSON of a refit; times in seconds since 1970. Raises ValueError for a number that is not finite."""
    values = _json_values(record)
    values["repo"] = encodable(record.repo)
    return values


def load_refit(value: object, where: str = "refit") -> RefitRecord:
    """Parse what `refit_json` returned, ignoring unknown fields. Raises MalformedError."""
    return _parse_known(RefitRecord, value, where)


def winning_run_json(winner: WinningRun) -> dict[str, Any]:
    """Return the JSON of a winning run. Raises ValueError for a number that is not finite."""
    return _json_values(winner)


def load_winning_run(value: object, where: str = "judged") -> WinningRun:
    """Parse what `winning_run_json` returned, ignoring unknown fields. Raises MalformedError."""
    return _parse_known(WinningRun, value, where)


def render_result_file(values: dict[str, Any]) -> bytes:
    """Render result.json."""
    return json.dumps(values, indent=1, allow_nan=False).encode() + b"\n"


def render_refit_files(result: RefitResult) -> dict[str, bytes]:
    """Render the files beside the adapters of a refit, by name."""
    return {RESULT_FILE: render_result_file(refit_json(result.record))}


def _json_values(value: RefitRecord | WinningRun) -> dict[str, Any]:
    """Turn tuples into lists, so that a value equals itself after a trip through the database."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), allow_nan=False))
    return values


def _parse_known(kind: type[_T], value: object, where: str) -> _T:
    if not isinstance(value, dict):
        raise MalformedError(f"{where}: expected an object")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return parse_record(kind, {name: part for name, part in value.items() if name in known}, where)
