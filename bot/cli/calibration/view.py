"""Render a calibration: fields for JSON, and text for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.calibration.calibration_set import CalibrationSet, Change, TrackRecord, track_record
from pipeline.calibration.threshold import Calibration, Share
from pipeline.records import Outcome
from pipeline.reports.escape import inert
from pipeline.reports.numbers import counted, interval, share
from pipeline.reports.numbers import density as number
from pipeline.reports.plots import LogScale
from pipeline.screening.verdict import render_standing

SELECTION = (
    "Normally only repositories with the verdict RUN are fine-tuned, so wrong SKIPs are rarely discovered and these "
    "shares say little about SKIP."
)
AXIS_COLUMNS = 72


def describe(calibration_set: CalibrationSet, calibration: Calibration | None = None) -> dict[str, Any]:
    """Return the fields of every `assay calibration` command, by default of the deciding label recipe."""
    calibration = calibration or calibration_set.calibrate()
    threshold, standing = calibration.threshold, calibration.standing
    recipe = calibration.label_recipe_id
    return {
        "label_recipe_id": recipe,
        "threshold": threshold.value,
        "threshold_source": threshold.source,
        "threshold_version": calibration.version,
        "band": [threshold.band_low, threshold.band_high],
        "separable": threshold.separable,
        "winners": [{"repo": repo, "density": density} for repo, density in standing.winners],
        "losers": [{"repo": repo, "density": density} for repo, density in standing.losers],
        "counterexamples": list(standing.counterexamples),
        "published": standing.published,
        "measured": standing.measured,
        "shared": standing.shared,
        **_share_fields("accuracy", calibration.accuracy),
        "leave_one_out": standing.leave_one_out,
        "selection": SELECTION,
        "stands_on": render_standing(threshold, standing),
        "win_curve": _win_curve(calibration),
        "predictions": _track_fields(track_record(calibration_set, recipe)),
        "exclusions": dict(sorted(calibration_set.exclusions.items())),
        "outcomes": [_outcome_fields(o, calibration) for o in calibration_set.of_recipe(recipe)],
        "other_label_recipes": sum(o.label_recipe_id != recipe for o in calibration_set.outcomes),
    }


def _share_fields(name: str, value: Share | None) -> dict[str, Any]:
    return {
        name: value.value if value else None,
        f"{name}_low": value.low if value else None,
        f"{name}_high": value.high if value else None,
    }


def _win_curve(calibration: Calibration) -> dict[str, float] | None:
    curve = calibration.win_curve
    if curve is None:
        return None
    at_threshold = curve.probability(calibration.threshold.value)
    return {"intercept": curve.intercept, "slope": curve.slope, "at_threshold": at_threshold}


def _track_fields(track: TrackRecord) -> dict[str, Any]:
    return {
        "settled": len(track.settled),
        **_share_fields("accuracy", track.accuracy),
        "false_positives": list(track.false_positives),
        "false_negatives": list(track.false_negatives),
    }


def _outcome_fields(outcome: Outcome, calibration: Calibration) -> dict[str, Any]:
    counts = outcome in calibration.points
    left = next((left for left in calibration.left_out if left.repo == outcome.repo), None) if counts else None
    return {
        "repo": outcome.repo,
        "density": outcome.density,
        "outcome": outcome.outcome,
        "provenance": outcome.provenance,
        "decided_at": outcome.decided_at or None,
        "base_model_family": outcome.base_model_family,
        "rho_adapter": outcome.rho_adapter,
        "rho_baseline": outcome.rho_baseline,
        "counts": counts,
        "excluded_because": outcome.excluded_because or None,
        "left_out_threshold": left.threshold if left else None,
        "left_out_right": left.right if left else None,
    }


def change_fields(change: Change) -> dict[str, Any]:
    """Return the fields of a change: the threshold before and after, and the verdicts that flipped."""
    return {
        "threshold_before": change.before.threshold.value,
        "threshold_after": change.after.threshold.value,
        "label_recipe_id_before": change.before.label_recipe_id,
        "flips": [
            {
                "repo": flip.repo,
                "density_before": flip.density_before,
                "density_after": flip.density_after,
                "verdict_before": flip.verdict_before,
                "verdict_after": flip.verdict_after,
            }
            for flip in change.flips
        ],
        "not_measured": list(change.not_measured),
    }


def render(result: dict[str, Any]) -> RenderableType:
    """Render the threshold, a density axis, the outcomes and notes on accuracy."""
    parts: list[RenderableType] = [*_change_lines(result), _headline(result)]
    if result["winners"] or result["losers"]:
        parts += [Text(), *density_axis(result), Text(), _table(result["outcomes"])]
    parts += [Text(line) for line in _notes(result)]
    if "exported" in result:
        parts.append(Text(f"Written: {counted(result['exported'], 'outcome')} to {inert(result['file'], 4096)}"))
    return Group(*parts)


def _headline(result: dict[str, Any]) -> Text:
    low, high = result["band"]
    source = {
        "calibration": "from the calibration set",
        "seed": "from the shipped seed data",
        "borrowed": "borrowed from the label recipe `messages`",
    }[result["threshold_source"]]
    line = Text.assemble(("Threshold ", "bold"), (number(result["threshold"]), "bold"))
    return line.append(f" {source}; too close to call from {interval(low, high)}.")


def _change_lines(result: dict[str, Any]) -> list[Text]:
    if "flips" not in result:
        return []
    before, after = number(result["threshold_before"]), number(result["threshold_after"])
    flips = result["flips"]
    would = "would flip" if result.get("dry_run") else "flipped"
    lines = [Text(f"Threshold {before} → {after}, {counted(len(flips), 'verdict')} {would}.", style="bold")]
    for flip in flips:
        densities = f"{number(flip['density_before'])} → {number(flip['density_after'])}"
        verdicts = f"{flip['verdict_before']} → {flip['verdict_after']}"
        lines.append(Text(f"  {inert(flip['repo'])}: {verdicts} (density {densities})"))
    if result["not_measured"]:
        names = ", ".join(inert(name) for name in result["not_measured"])
        lines.append(Text(f"  Not yet screened under label recipe {result['label_recipe_id']}: {names}"))
    return lines


def density_axis(result: dict[str, Any], columns: int = AXIS_COLUMNS) -> list[Text]:
    """Render winners above and losers below a logarithmic axis with the threshold and its band."""
    winners = [winner["density"] for winner in result["winners"]]
    losers = [loser["density"] for loser in result["losers"]]
    low, high = result["band"]
    scale = LogScale.around([*winners, *losers, low, high])

    def column(value: float) -> int:
        return round(scale.position(value) * (columns - 1))

    axis = ["─"] * columns
    for index in range(column(low), column(high) + 1):
        axis[index] = "▒"
    axis[column(result["threshold"])] = "┃"
    labels = [" "] * (columns + 8)
    for tick in scale.ticks(5):
        text = f"{tick:g}"
        labels[column(tick) : column(tick) + len(text)] = text
    return [
        Text("  wins   " + _marks([column(v) for v in winners], "▲", columns), style="green"),
        Text("         " + "".join(axis)),
        Text("  losses " + _marks([column(v) for v in losers], "▼", columns), style="red"),
        Text("         " + "".join(labels).rstrip()),
    ]


def _marks(at: list[int], mark: str, columns: int) -> str:
    """Render a mark per value, or their number if several share a column."""
    counts = [at.count(column) for column in range(columns)]
    shown = {0: " ", 1: mark}
    return "".join(shown.get(count, str(min(count, 9))) for count in counts).rstrip()


def _table(outcomes: list[dict[str, Any]]) -> Table:
    table = Table(
        "repository", "density", "outcome", "source", "counts", "leave-one-out", box=None, header_style="bold"
    )
    for row in sorted(outcomes, key=lambda row: (-row["density"], row["repo"])):
        table.add_row(
            Text(inert(row["repo"])),
            number(row["density"]),
            row["outcome"],
            row["provenance"],
            Text(_whether_it_counts(row)),
            "" if row["left_out_right"] is None else "right" if row["left_out_right"] else "wrong",
        )
    return table


def _whether_it_counts(row: dict[str, Any]) -> str:
    if row["excluded_because"]:
        return f"no: {inert(row['excluded_because'])}"
    if row["counts"]:
        return "half" if row["provenance"] == "published" else "yes"
    return "no: inconclusive" if row["outcome"] == "INCONCLUSIVE" else "no: replaced by newer outcomes"


def _notes(result: dict[str, Any]) -> list[str]:
    notes = [result["stands_on"]]
    if result["accuracy"] is not None:
        ends = f"{share(result['accuracy_low'])} to {share(result['accuracy_high'])}"
        notes.append(f"It is right for {share(result['accuracy'])} of these outcomes (95 % Wilson interval {ends}).")
    track = result["predictions"]
    if track["settled"]:
        wrong = f"{len(track['false_positives'])} wrong RUN, {len(track['false_negatives'])} wrong SKIP"
        settled = counted(track["settled"], "prediction")
        notes.append(f"Of {settled} with a later outcome, {share(track['accuracy'])} were right ({wrong}).")
    if result["counterexamples"]:
        names = ", ".join(inert(name) for name in result["counterexamples"])
        notes.append(f"On the wrong side of the threshold: {names}.")
    notes.append(result["selection"])
    if result["other_label_recipes"]:
        others = counted(result["other_label_recipes"], "outcome")
        notes.append(f"Not shown: {others} of other label recipes, which are not comparable.")
    return notes
