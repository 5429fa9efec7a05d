"""Outcomes that installations share: what is told of one, and what the many weigh. Pure functions.

A row tells density and Δρ to three decimals and the month. Rows of others are used, and shown as a number, once five
installations besides the reader's own give some; none of them weighs more than a fifth of all that is used, however
many rows it gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from bot.store.shared_outcomes import SharedFigures, SharedRow
from pipeline.records import Outcome, OutcomeKind

FEWEST_CONTRIBUTORS: Final = 5
MOST_OF_ONE: Final = 1 / FEWEST_CONTRIBUTORS
WIN_FROM: Final = 0.03  # Δρ, as the outcome of a run is decided


def figures_of(outcome: Outcome) -> SharedFigures | None:
    """What may be told of a conclusive outcome. None where these few figures would say something else than it.

    That is so where the digits that are left fall on the other side of a WIN, or where the adapter gained and yet
    ranked no better than chance.
    """
    if outcome.rho_adapter is None or outcome.rho_baseline is None or not outcome.decided_at:
        return None
    density, delta = round(outcome.density, 3), round(outcome.rho_adapter - outcome.rho_baseline, 3)
    if (kind_of(delta) == "WIN") != (outcome.outcome == "WIN"):
        return None
    month = outcome.decided_at[:7]
    return SharedFigures(outcome.label_recipe_id, outcome.base_model_family, density, delta, month)


def kind_of(delta: float) -> OutcomeKind:
    """What a Δρ alone says."""
    if delta >= WIN_FROM:
        return "WIN"
    return "HARD LOSS" if delta < 0 else "SOFT LOSS"


def usable(rows: Sequence[SharedRow]) -> tuple[Outcome, ...]:
    """What others share, weighed; nothing of a label recipe and family of models that too few give rows of."""
    groups: dict[tuple[str, str], list[SharedRow]] = {}
    for row in rows:
        if not row.own:
            groups.setdefault((row.figures.label_recipe_id, row.figures.base_model_family), []).append(row)
    found: list[Outcome] = []
    for group in groups.values():
        weights = capped_weights(Counter(row.contributor for row in group))
        found += [as_outcome(row, weights[row.contributor]) for row in group if weights]
    return tuple(found)


def capped_weights(rows_by_contributor: Mapping[str, int]) -> dict[str, float]:
    """What a row of each contributor weighs: 1, or less where one would have more than a fifth of all.

    The largest are cut down to a common height until the highest is a fifth of the sum. Nobody's rows weigh anything
    (no weights at all) where there are fewer than five contributors, since one of them would have more.
    """
    if len(rows_by_contributor) < FEWEST_CONTRIBUTORS:
        return {}
    largest_first = sorted(rows_by_contributor.values(), reverse=True)
    height = float(largest_first[0])
    for cut in range(FEWEST_CONTRIBUTORS):  # so many are cut down to the height; the rest keep what they have
        height = sum(largest_first[cut:]) / (FEWEST_CONTRIBUTORS - cut)
        if largest_first[cut] <= height:
            break
    return {contributor: min(1.0, height / rows) for contributor, rows in rows_by_contributor.items()}


def as_outcome(row: SharedRow, weight: float = 1.0) -> Outcome:
    """A point that nobody's name stands on."""
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
    """What tells shared points apart. No repository is called so: its name has a slash."""
    return f"shared {shared_id}"
