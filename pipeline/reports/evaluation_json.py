"""The JSON of `assay evaluate`, documented in docs/reference/json.md."""

from __future__ import annotations

from typing import Any

from pipeline.ranking.evaluate import Evaluation, Row, Table
from pipeline.ranking.statistics import Comparison
from pipeline.reports.escape import encodable
from pipeline.reports.numbers import iso


def evaluation_json(evaluation: Evaluation, label_recipe_id: str) -> dict[str, Any]:
    """Return the documented fields except the costs of the run; null for numbers that do not exist."""
    mined = evaluation.mined
    windows = mined.windows
    return {
        "repo": encodable(mined.repo),
        "head_sha": mined.head_sha,
        "as_of": iso(windows.as_of),
        "train_start": iso(windows.train_start),
        "eval_start": iso(windows.eval_start),
        "window_days": windows.window_days,
        "horizon_days": windows.horizon_days,
        "conclusive": evaluation.conclusive,
        "reasons": list(evaluation.reasons),
        "learned_from": evaluation.learned_from,
        "functions": _table(evaluation.functions),
        "files": _table(evaluation.files),
        "notes": [encodable(note) for note in mined.notes],
        "label_recipe_id": label_recipe_id,
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "n": table.n,
        "positives": table.positives,
        "prevalence": table.prevalence,
        "rho_max": table.rho_max,
        "scorers": [{"name": row.name} | scorer_json(row) for row in table.rows],
    }


def scorer_json(row: Row) -> dict[str, Any]:
    """Return the fields of one scorer without its name, as used in fine-tuning results too."""
    quality = row.quality
    return {
        "rho": quality.rho,
        "rho_low": quality.rho_low,
        "rho_high": quality.rho_high,
        "rho_share": quality.rho_share,
        "auc": quality.auc,
        "auc_low": quality.auc_low,
        "auc_high": quality.auc_high,
        "precision_at_10": quality.precision_at_10,
        "precision_at_20": quality.precision_at_20,
        "recall_at_20_percent": quality.recall_at_20_percent,
        "reason": quality.reason,
        "against_baseline": None if row.against_baseline is None else comparison_json(row.against_baseline),
    }


def comparison_json(against: Comparison) -> dict[str, Any]:
    """Return the fields of a comparison of two scorers."""
    return {
        "delta": against.delta,
        "low": against.low,
        "high": against.high,
        "smallest_detectable": against.smallest_detectable,
        "win_share": against.win_share,
        "reason": against.reason,
    }
