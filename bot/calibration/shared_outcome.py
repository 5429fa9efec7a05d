"""Outcomes that installations share: what one reveals, and how they are weighted. Pure functions.

A row reveals density and Δρ to three decimals, and the month. Rows are used, and shown only as a count, once five other
installations contribute; no contributor weighs more than a fifth of the total, however many rows it shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from bot.store.shared_outcomes import SharedFigures, SharedRow
from pipeline.ranking.outcome import MIN_WIN_DELTA
from pipeline.records import Outcome, OutcomeKind

MIN_CONTRIBUTORS: Final = 5
MAX_WEIGHT_SHARE: Final = 1 / MIN_CONTRIBUTORS


def figures_of(outcome: Outcome) -> SharedFigures | None:
    """Return what a conclusive outcome reveals; None if the rounded figures would imply a different outcome.

    That happens if rounding crosses the limit of a WIN, or if the adapter gained but ranked no better than chance.
    """
    if outcome.rho_adapter is None or outcome.rho_baseline is None or not outcome.decided_at:
        return None
    density, delta = round(outcome.density, 3), round(outcome.rho_adapter - outcome.rho_baseline, 3)
    if (kind_of(delta) == "WIN") != (outcome.outcome == "WIN"):
        return None
    month = outcome.decided_at[:7]
    return SharedFigures(outcome.label_recipe_id, outcome.base_model_family, density, delta, month)


def kind_of(delta: float) -> OutcomeKind:
    """Return the outcome that Δρ alone implies."""
    if delta >= MIN_WIN_DELTA:
        return "WIN"
    return "HARD LOSS" if delta < 0 else "SOFT LOSS"


def weigh_shared(rows: Sequence[SharedRow]) -> tuple[Outcome, ...]:
    """Return others' outcomes with weights; none of a label recipe and model family with too few contributors."""
    groups: dict[tuple[str, str], list[SharedRow]] = {}
    for row in rows:
        if not row.own:
            groups.setdefault((row.figures.label_recipe_id, row.figures.base_model_family), []).append(row)
    outcomes: list[Outcome] = []
    for group in groups.values():
        weights = capped_weights(Counter(row.contributor for row in group))
        outcomes += [as_outcome(row, weights[row.contributor]) for row in group if weights]
    return tuple(outcomes)


def capped_weights(rows_by_contributor: Mapping[str, int]) -> dict[str, float]:
    """Return the weight per row of each contributor: 1, or less to cap a contributor at a fifth of the total.

    The largest totals are cut to a common height until the highest is a fifth of the sum. Returns no weights for fewer
    than five contributors, since one of them would exceed a fifth.
    """
    if len(rows_by_contributor) < MIN_CONTRIBUTORS:
        return {}
    largest_first = sorted(rows_by_contributor.values(), reverse=True)
    height = float(largest_first[0])
    for cut in range(MIN_CONTRIBUTORS):  # the number of totals cut to the height
        height = sum(largest_first[cut:]) / (MIN_CONTRIBUTORS - cut)
        if largest_first[cut] <= height:
            break
    return {contributor: min(1.0, height / rows) for contributor, rows in rows_by_contributor.items()}


def as_outcome(row: SharedRow, weight: float = 1.0) -> Outcome:
    """Return an anonymous outcome."""
    return Outcome(
        repo=shared_name(row.shared_id),
        density=row.figures.density,
        outcome=kind_of(row.figures.delta),
        provenance="shared",
        label_recipe_id=row.figures.label_recipe_id,
        decided_at=f"{row.figures.month}-01",
        base_model_family=row.figures.base_model_family,
        weight=weight,
    )


def shared_name(shared_id: int) -> str:
    """Return a unique name that no repository can have, since theirs contain a slash."""
    return f"shared {shared_id}"
