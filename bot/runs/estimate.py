"""Estimate, before a fine-tuning run is queued, the GPU minutes that it may take at most.

The estimate covers all seeds, scoring, frozen embeddings and, for a judged run, the refit that follows a WIN. The speed
comes from the best source available:

    1. the slowest recent run of the same model on this server, in seconds per token
    2. the GPU worker seen last: its measured rate or a share of its peak, and the size of the model
    3. neither: the time limit itself

A token counts as 2.5 bytes of a prompt. Tokenizers for code take three to four, so this errs on the safe side; prompts
are truncated to the model's length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from bot.records import RunPurpose
from bot.sandbox.pair_task import Lengths
from pipeline.finetuning.cost import Estimate as Cost
from pipeline.finetuning.cost import ModelSize, Rate, estimate
from pipeline.finetuning.recipe import MAX_VALIDATED, BaseModel, FinetuneRecipe

BYTES_PER_TOKEN: Final = 2.5
MARGIN: Final = 1.25
REFIT_SHARE: Final = 0.5  # of the time limit, for a refit: one fit per seed where judging needs two
MIN_MINUTES: Final = 1.0  # loading a model takes this long, however little is trained
LOADING_MINUTES: Final = 10.0  # reserved in addition, to fetch and load the model and to write the results
FORWARD: Final = 0.5  # cost of scoring a token relative to training on it

Source = Literal["earlier runs", "the GPU worker", "the time limit"]


@dataclass(frozen=True, slots=True)
class Minutes:
    """An upper bound, and its source."""

    minutes: float
    source: Source


@dataclass(frozen=True)
class Workload:
    """The prompts to train on and to score: `scored` is the holdout, or the functions of the head."""

    purpose: RunPurpose
    train: Lengths
    scored: Lengths


def estimate_minutes(
    workload: Workload,
    recipe: FinetuneRecipe,
    *,
    seconds_per_token: float | None = None,
    size: ModelSize | None = None,
    rate: Rate | None = None,
) -> Minutes:
    """Estimate the minutes. `recipe.max_minutes` limits the run itself; a later refit gets half of that."""
    limit = recipe.max_minutes * (1 + (REFIT_SHARE if workload.purpose == "judge" else 0))
    costs = _costs(workload, recipe, size or ModelSize(0), rate)
    if seconds_per_token is not None:
        tokens = sum(cost.trained_tokens + FORWARD * cost.scored_tokens for cost in costs)
        return Minutes(_bounded(tokens * seconds_per_token / 60, limit), "earlier runs")
    if size is not None and rate is not None:
        return Minutes(_bounded(sum(cost.flops for cost in costs) / rate.flops_per_s / 60, limit), "the GPU worker")
    return Minutes(_rounded(limit), "the time limit")


def seconds_per_token(results: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the speed of the slowest of some results (`finetune_json`); None if none records it."""
    speeds = [
        result["training_seconds"] / result["tokens"]
        for result in results
        if _is_positive(result.get("tokens")) and _is_positive(result.get("training_seconds"))
    ]
    return max(speeds, default=None)


def tokens_of(lengths: Lengths, max_tokens: int) -> list[int]:
    """Return the length of each prompt in tokens, longest first."""
    return [
        min(math.ceil(size / BYTES_PER_TOKEN), max_tokens)
        for size, amount in sorted(lengths.items(), reverse=True)
        for _ in range(amount)
    ]


def _costs(workload: Workload, recipe: FinetuneRecipe, size: ModelSize, rate: Rate | None) -> list[Cost]:
    train = tokens_of(workload.train, recipe.max_tokens)
    scored = tokens_of(workload.scored, recipe.max_tokens)
    if workload.purpose == "score":
        return [_scoring(scored, recipe, size)]
    if workload.purpose == "refit":
        return [_refit(train, recipe, size), _scoring(scored, recipe, size)]
    judging = estimate(train, scored, recipe, size, rate, validated_lengths=train[:MAX_VALIDATED])
    # The latest window and the head are unknown yet; assume as many functions as in both parts.
    return [judging, _refit([*train, *scored], recipe, size), _scoring([*train, *scored], recipe, size)]


def _refit(lengths: Sequence[int], recipe: FinetuneRecipe, size: ModelSize) -> Cost:
    """Return the cost of one fit per seed with the planned number of steps."""
    passes = recipe.epochs * len(recipe.seeds)
    flops = passes * size.training_flops(lengths, checkpointing=recipe.gradient_checkpointing)
    return Cost(passes * sum(lengths), 0, flops, None, None)


def _scoring(lengths: Sequence[int], recipe: FinetuneRecipe, size: ModelSize) -> Cost:
    seeds = len(recipe.seeds)
    return Cost(0, seeds * sum(lengths), seeds * size.forward_flops(lengths), None, None)


def _bounded(minutes: float, limit: float) -> float:
    return _rounded(min(max(MARGIN * minutes, MIN_MINUTES), limit))


def _rounded(minutes: float) -> float:
    """Round up to a tenth, so that the minutes shown are those reserved."""
    return math.ceil(round(minutes * 10, 6)) / 10


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


# Parameters without embeddings, from the model cards.
MODEL_SIZES: Final = MappingProxyType(
    {
        "Qwen/Qwen2.5-Coder-0.5B": ModelSize(360_000_000, layers=24, hidden=896),
        "Qwen/Qwen2.5-Coder-1.5B": ModelSize(1_310_000_000, layers=28, hidden=1_536),
        "Qwen/Qwen2.5-Coder-7B": ModelSize(6_530_000_000, layers=28, hidden=3_584),
    }
)
MAX_HEADER_BYTES: Final = 64 << 20
_LENGTH_BYTES: Final = 8  # of the header, little-endian, in front of it
_EMBEDDINGS: Final = ("embed", "wte", "wpe", "lm_head")


def load_model_size(model: BaseModel) -> ModelSize | None:
    """Return the size of a pinned model, or of a directory from its config and safetensors headers; None if unknown.

    Reads files if the model is a directory.
    """
    if model.revision:
        return MODEL_SIZES.get(model.name)
    folder = Path(model.name)
    try:
        config = json.loads(_first_bytes(folder / "config.json").decode())
        parameters = sum(_parameters(file) for file in sorted(folder.glob("*.safetensors")))
        layers, hidden = int(config["num_hidden_layers"]), int(config["hidden_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return ModelSize(parameters, layers, hidden) if parameters > 0 else None


def _parameters(file: Path) -> int:
    """Count the parameters outside of embeddings."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("not a safetensors header")
        header = json.loads(opened.read(length))
    return sum(math.prod(shape) for name, shape in _shapes(header) if not any(part in name for part in _EMBEDDINGS))


def _shapes(header: Any) -> Iterator[tuple[str, list[int]]]:
    for name, tensor in header.items():
        if name != "__metadata__":
            yield name, tensor["shape"]


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_HEADER_BYTES)
