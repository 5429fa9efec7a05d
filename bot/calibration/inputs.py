"""The inputs of a threshold, stored with it, and recomputing the threshold from them. Pure functions.

Own and shared outcomes are stored by row id, so deleting a row deletes it here too. Public outcomes and the operator's
own are stored by value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.calibration.installation_set import InstallationSet
from pipeline.calibration.ledger_entries import parse_outcome, parse_threshold
from pipeline.calibration.threshold import Calibration, borrow, fit
from pipeline.json_fields import Fields
from pipeline.records import Outcome, Threshold


class InputsDeleted(Exception):
    """A row that a threshold was fitted to no longer exists."""


@dataclass(frozen=True)
class Inputs:
    """The points of a threshold, with its fallbacks."""

    label_recipe_id: str
    given: tuple[Outcome, ...]  # from the seed and the operator
    entries: tuple[int, ...]  # ledger rows of own outcomes
    shared: tuple[tuple[int, float], ...]  # rows of shared outcomes, with weights
    anchor: float | None  # the seed's threshold, which breaks ties
    stand_in: Threshold | None  # the seed's threshold, used while one class has no outcomes
    lender: Inputs | None = None  # a recipe without a seed borrows the threshold of these inputs


def inputs_of(installation_set: InstallationSet, calibration: Calibration) -> Inputs:
    """Return the inputs of a calibration that was fitted to the set."""
    calibration_set, recipe = installation_set.calibration_set, calibration.label_recipe_id
    points, own, shared = calibration.points, installation_set.own, installation_set.shared
    stand_in = calibration_set.seed_thresholds.get(recipe)
    lender_id = calibration_set.lender(recipe)
    lender = calibration_set.calibrate(lender_id) if lender_id else None
    return Inputs(
        label_recipe_id=recipe,
        given=tuple(point for point in points if point not in own and point not in shared),
        entries=tuple(sorted(own[point].entry_id for point in points if point in own)),
        shared=tuple(sorted((shared[point], point.weight) for point in points if point in shared)),
        anchor=stand_in.value if stand_in else None,
        stand_in=stand_in,
        lender=inputs_of(installation_set, lender) if lender else None,
    )


def refit(inputs: Inputs, own: Mapping[int, Outcome], shared: Mapping[int, Outcome]) -> Calibration:
    """Recompute the calibration. `own` and `shared` are the existing rows by id. Raises InputsDeleted."""
    try:
        measured = [replace(own[number], repo=f"ledger {number}") for number in inputs.entries]
        of_others = [replace(shared[number], weight=weight) for number, weight in inputs.shared]
    except KeyError:
        raise InputsDeleted from None
    lender = refit(inputs.lender, own, shared) if inputs.lender else None
    return fit(
        [*inputs.given, *measured, *of_others],
        previous=inputs.anchor,
        seed_threshold=borrow(lender.threshold) if lender else inputs.stand_in,
        label_recipe_id=inputs.label_recipe_id,
    )


def dump_inputs(inputs: Inputs) -> dict[str, Any]:
    """Return JSON values (with tuples, which JSON turns into lists)."""
    return dataclasses.asdict(inputs)


def load_inputs(value: object, where: str = "inputs") -> Inputs:
    """Parse stored inputs. Raises MalformedError."""
    fields = Fields(value, where)
    return Inputs(
        label_recipe_id=fields.text("label_recipe_id"),
        given=tuple(map(parse_outcome, fields.objects("given"))),
        entries=tuple(map(int, fields.numbers("entries", 0, 1 << 53))),
        shared=tuple(
            (row.whole("number"), row.number("weight", 0, 1)) for row in fields.rows("shared", ("number", "weight"))
        ),
        anchor=fields.optional("anchor", lambda: fields.number("anchor", 0, 1)),
        stand_in=fields.optional("stand_in", lambda: parse_threshold(fields.inner("stand_in"))),
        lender=fields.optional("lender", lambda: load_inputs(fields.value("lender"), f"{where}.lender")),
    )
