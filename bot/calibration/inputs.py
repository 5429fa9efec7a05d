"""What a threshold was made of, as it is stored beside it, and the same threshold made of that again.

Own outcomes are named by their ledger rows and shared ones by theirs, so that what is deleted is gone from here too;
what is public or the operator's own stands here as it was. Pure functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.calibration.installation_set import Known
from pipeline.calibration.ledger_entries import parse_outcome, parse_threshold
from pipeline.calibration.threshold import Calibration, borrow, fit
from pipeline.json_fields import Fields
from pipeline.records import Outcome, Threshold


class InputsDeleted(Exception):
    """A row that a threshold was made of is not there any more."""


@dataclass(frozen=True)
class Inputs:
    """The points of a threshold, and what answers where they do not."""

    label_recipe_id: str
    given: tuple[Outcome, ...]  # of the seed, and what the operator added
    entries: tuple[int, ...]  # ledger rows of own outcomes
    shared: tuple[tuple[int, float], ...]  # shared rows and what each weighed
    anchor: float | None  # the threshold of the seed: decides ties
    stand_in: Threshold | None  # of the seed, for where a class is missing
    lender: Inputs | None = None  # what that is borrowed from, for a recipe without a seed


def inputs_of(known: Known, calibration: Calibration) -> Inputs:
    """What this calibration of that set was made of."""
    calibration_set, recipe = known.calibration_set, calibration.label_recipe_id
    points = calibration.points
    stand_in = calibration_set.seed_thresholds.get(recipe)
    borrows = stand_in is None and recipe != calibration_set.messages_id
    lender = calibration_set.calibrate(calibration_set.messages_id) if borrows else None
    return Inputs(
        label_recipe_id=recipe,
        given=tuple(point for point in points if point not in known.own and point not in known.shared),
        entries=tuple(sorted(known.own[point].entry_id for point in points if point in known.own)),
        shared=tuple(sorted((known.shared[point], point.weight) for point in points if point in known.shared)),
        anchor=stand_in.value if stand_in else None,
        stand_in=stand_in,
        lender=inputs_of(known, lender) if lender else None,
    )


def refit(inputs: Inputs, own: Mapping[int, Outcome], shared: Mapping[int, Outcome]) -> Calibration:
    """The calibration that these inputs give. `own` and `shared` are the rows there are, by number.

    Raises InputsDeleted.
    """
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
    """JSON values, but for tuples that JSON makes lists of."""
    return dataclasses.asdict(inputs)


def load_inputs(value: object, where: str = "inputs") -> Inputs:
    """Raises MalformedError."""
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
