"""The JSON of `assay screen`, documented in docs/reference/json.md."""

from __future__ import annotations

import dataclasses

from pipeline.label_recipe import RECIPES
from pipeline.records import Screening, SourceFiles, Windows
from pipeline.reports.diagnosis_text import advice
from pipeline.reports.escape import encodable
from pipeline.reports.finite import require_finite
from pipeline.reports.numbers import iso

MAX_EXCLUDED = 5  # groups of commits


def screen_json(screening: Screening) -> dict[str, object]:
    """Return the fields in documented order: times in ISO 8601 (UTC), shares in [0, 1], null without pairs.

    Raises ValueError that names a field whose number is not finite.
    """
    mined, density, verdict = screening.mined, screening.density, screening.verdict
    fields: dict[str, object] = {
        "repo": encodable(mined.repo),
        "head_sha": mined.head_sha,
        "as_of": iso(mined.windows.as_of),
        "commits": mined.commits,
        "fix_commits": mined.fix_commits,
        "windows": _windows(mined.windows),
        "pairs": density.pairs if density else 0,
        "positives": density.positives if density else 0,
        "positive_share": density.positive_share if density else None,
        "file_positive_share": density.file_positive_share if density else None,
        "density": density.value if density else None,
        "density_low": density.low if density else None,
        "density_high": density.high if density else None,
        "threshold": screening.threshold.value,
        "threshold_source": screening.threshold.source,
        "band": [screening.threshold.band_low, screening.threshold.band_high],
        "verdict": verdict.verdict,
        "words": encodable(verdict.words),
        "measurable": verdict.measurable,
        "near_boundary": verdict.near_boundary,
        "reasons": [encodable(reason) for reason in verdict.reasons],
        "notes": [encodable(note) for note in mined.notes],
        "excluded_files": _excluded_files(mined.files),
        "obstacle": encodable(mined.obstacle.title) if mined.obstacle else None,
        "evidence": dict(sorted(screening.evidence.items())),
        "densities": _densities(screening),
        "diagnosis": _diagnosis(screening),
        "evidence_note": encodable(screening.evidence_note),
        "label_recipe_id": screening.label_recipe_id,
        "config_hash": screening.config_hash,
        "seconds": round(screening.seconds, 3),
        "peak_rss_mb": round(screening.peak_rss_mb, 1),
    }
    require_finite("screen", fields)
    return fields


def _excluded_files(files: SourceFiles | None) -> dict[str, object] | None:
    if files is None:
        return None
    return {
        "read": files.read,
        "left_out": files.left_out,
        "by_reason": dict(files.excluded),
        "largest_folders": [
            {"path": encodable(folder.path), "reason": folder.reason, "files": folder.files} for folder in files.folders
        ],
        "unread_endings": dict(files.unread),
    }


def _densities(screening: Screening) -> dict[str, float | None]:
    """Return densities by label recipe name: the deciding one, and the other if it was measured."""
    densities = {RECIPES[screening.label_recipe_id].name: screening.density}
    if screening.other is not None:
        densities[screening.other.label_recipe] = screening.other.density
    return {name: density.value if density else None for name, density in densities.items()}


def _diagnosis(screening: Screening) -> dict[str, object] | None:
    diagnosis = screening.diagnosis
    if diagnosis is None:
        return None
    return {
        "credited_fix_commits": diagnosis.credited,
        "keyword_alone": diagnosis.keyword_alone,
        "effective_positives": round(diagnosis.effective_positives, 2),
        "file_label_inflation": diagnosis.inflation,
        "issues": None if diagnosis.issues is None else dataclasses.asdict(diagnosis.issues),
        "excluded": [
            {"reason": encodable(group.reason), "commits": group.commits}
            for group in screening.mined.excluded[:MAX_EXCLUDED]
        ],
        "advice": advice(diagnosis),
    }


def _windows(windows: Windows) -> dict[str, object]:
    return {
        "train_start": iso(windows.train_start),
        "eval_start": iso(windows.eval_start),
        "as_of": iso(windows.as_of),
        "window_days": windows.window_days,
        "horizon_days": windows.horizon_days,
        "history_days": windows.history_days,
        "too_little_history": windows.too_little_history,
        "shortened": windows.shortened,
    }
