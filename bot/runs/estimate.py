"""What a fine-tuning run may take at most, in GPU minutes, before it is queued. Pure.

What is reserved covers all seeds, scoring, frozen embeddings and, of a run that is judged, the training once more that
follows a WIN. How fast that will be is taken from the best that is known:

    1. the slowest of the last runs of the same model on this server, in seconds a token
    2. the GPU worker seen last: its measured rate or a share of its peak, and the size of the model
    3. neither: the time limit itself

A token is taken for 2.5 bytes of a prompt. Tokenizers for code make one of three to four, so that errs on the safe
side; what does not fit the model's prompt is cut off and costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bot.records import RunPurpose
from bot.sandbox.pair_task import Lengths
from pipeline.finetuning.cost import Estimate as Cost
from pipeline.finetuning.cost import ModelSize, Rate, estimate
from pipeline.finetuning.recipe import MAX_VALIDATED, FinetuneRecipe

BYTES_A_TOKEN: Final = 2.5
MARGIN: Final = 1.25
REFIT_SHARE: Final = 0.5  # of the time limit, for training once more: one fit a seed where judging needs two
MOST_VALIDATED: Final = MAX_VALIDATED  # functions that a validation scores
LEAST_MINUTES: Final = 1.0  # a model has to be loaded, whatever there is to train on
LOADING_MINUTES: Final = 10.0  # reserved beside: to fetch and load the model, to write the results
FORWARD: Final = 0.5  # what a token costs that is only scored, beside one that is trained on

Source = Literal["earlier runs", "the GPU worker", "the time limit"]


@dataclass(frozen=True, slots=True)
class Minutes:
    """At most so many, and what that rests on."""

    minutes: float
    source: Source


@dataclass(frozen=True)
class Workload:
    """What is to be trained on and scored: `scored` is the holdout, or the functions of the head."""

    purpose: RunPurpose
    train: Lengths
    scored: Lengths


def minutes_at_most(
    workload: Workload,
    recipe: FinetuneRecipe,
    *,
    seconds_per_token: float | None = None,
    size: ModelSize | None = None,
    rate: Rate | None = None,
) -> Minutes:
    """`recipe.max_minutes` is the limit of the run itself; a later training once more is granted half of that."""
    limit = recipe.max_minutes * (1 + (REFIT_SHARE if workload.purpose == "judge" else 0))
    costs = _costs(workload, recipe, size or ModelSize(0), rate)
    if seconds_per_token is not None:
        tokens = sum(cost.trained_tokens + FORWARD * cost.scored_tokens for cost in costs)
        return Minutes(_bounded(tokens * seconds_per_token / 60, limit), "earlier runs")
    if size is not None and rate is not None:
        return Minutes(_bounded(sum(cost.flops for cost in costs) / rate.flops_per_s / 60, limit), "the GPU worker")
    return Minutes(_rounded(limit), "the time limit")


def seconds_per_token(results: Iterable[Mapping[str, Any]]) -> float | None:
    """Of the slowest of some results (`finetune_json`); None where none of them tells."""
    found = [
        result["training_seconds"] / result["tokens"]
        for result in results
        if _is_positive(result.get("tokens")) and _is_positive(result.get("training_seconds"))
    ]
    return max(found, default=None)


def tokens_of(lengths: Lengths, most_tokens: int) -> list[int]:
    """The length of each prompt in tokens, longest first."""
    return [
        min(math.ceil(size / BYTES_A_TOKEN), most_tokens)
        for size, amount in sorted(lengths.items(), reverse=True)
        for _ in range(amount)
    ]


def _costs(workload: Workload, recipe: FinetuneRecipe, size: ModelSize, rate: Rate | None) -> list[Cost]:
    train = tokens_of(workload.train, recipe.max_tokens)
    scored = tokens_of(workload.scored, recipe.max_tokens)
    if workload.purpose == "score":
        return [_scoring(scored, recipe, size)]
    if workload.purpose == "refit":
        return [_training_once(train, recipe, size), _scoring(scored, recipe, size)]
    judging = estimate(train, scored, recipe, size, rate, validated_lengths=train[:MOST_VALIDATED])
    # Of the latest window and the head nothing is known yet: about as many functions as there are in both parts.
    return [judging, _training_once([*train, *scored], recipe, size), _scoring([*train, *scored], recipe, size)]


def _training_once(lengths: Sequence[int], recipe: FinetuneRecipe, size: ModelSize) -> Cost:
    """One fit a seed, for as many steps as were planned at most."""
    passes = recipe.epochs * len(recipe.seeds)
    flops = passes * size.training_flops(lengths, checkpointing=recipe.gradient_checkpointing)
    return Cost(passes * sum(lengths), 0, flops, None, None)


def _scoring(lengths: Sequence[int], recipe: FinetuneRecipe, size: ModelSize) -> Cost:
    seeds = len(recipe.seeds)
    return Cost(0, seeds * sum(lengths), seeds * size.forward_flops(lengths), None, None)


def _bounded(minutes: float, limit: float) -> float:
    return _rounded(min(max(MARGIN * minutes, LEAST_MINUTES), limit))


def _rounded(minutes: float) -> float:
    """Up, to a tenth: what is shown is what is reserved."""
    return math.ceil(round(minutes * 10, 6)) / 10


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
