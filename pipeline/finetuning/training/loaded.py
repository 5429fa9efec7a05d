"""A base model on its device, with the prompts of a pair set as it reads them: what every part of a job shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pipeline.finetuning.cost import ModelSize, Rate, rate_of
from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.tokenizer import longest_prompt, tokenize
from pipeline.finetuning.training.base_model_files import load_tokenizer
from pipeline.finetuning.training.device import limit_memory
from pipeline.finetuning.training.model import Ranker, load_ranker
from pipeline.finetuning.training.score import score

Sequences = Sequence[Sequence[int]]

_PROBED_TOKENS = 4_096


@dataclass(frozen=True, eq=False)
class Loaded:
    """The ranker and its prompts, as token ids."""

    ranker: Ranker
    train: Sequences
    holdout: Sequences
    device: str


def load(recipe: FinetuneRecipe, train: Sequence[Prompted], holdout: Sequence[Prompted], device: str) -> Loaded:
    """Load the base model of `recipe` and read the prompts. Raises AssayError where the model cannot be had."""
    limit_memory(device, recipe.memory_limit_gb)
    tokenizer = load_tokenizer(recipe.base_model)
    ranker = load_ranker(recipe, device=device, seed=recipe.seeds[0], tokenizer=tokenizer)
    most = longest_prompt(recipe, ranker.most_tokens, tokenizer.model_max_length)

    def read(functions: Sequence[Prompted]) -> Sequences:
        return tokenize(tokenizer, [render_prompt(function, recipe.ablation) for function in functions], most)

    return Loaded(ranker, read(train), read(holdout), device)


def size_of(ranker: Ranker) -> ModelSize:
    config = ranker.adapted.get_base_model().config
    layers, hidden = (int(getattr(config, name, 0) or 0) for name in ("num_hidden_layers", "hidden_size"))
    return ModelSize(ranker.parameters_total, layers, hidden)


def device_name(device: str) -> str:
    """As its driver says: `NVIDIA H200`; of a CPU with how many threads."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(torch.device(device)))
    return f"CPU ({torch.get_num_threads()} threads)"


def expected_rate(loaded: Loaded, recipe: FinetuneRecipe, clock: Callable[[], float]) -> Rate | None:
    """How fast the device is: by its name where that is known, else as it scores a few prompts."""
    known = rate_of(device_name(loaded.device))
    return known or rate_of(loaded.device, _measured(loaded, recipe, clock))


def _measured(loaded: Loaded, recipe: FinetuneRecipe, clock: Callable[[], float]) -> float | None:
    """FLOP a second of a few prompts, after one that warms up."""
    probe: list[Sequence[int]] = []
    for sequence in loaded.train:
        if probe and sum(map(len, probe)) + len(sequence) > _PROBED_TOKENS:
            break
        probe.append(sequence)
    if not probe:
        return None
    score(loaded.ranker, probe[:1], micro_batch_tokens=recipe.micro_batch_tokens, device=loaded.device)
    began = clock()
    score(loaded.ranker, probe, micro_batch_tokens=recipe.micro_batch_tokens, device=loaded.device)
    seconds = clock() - began
    return (
        size_of(loaded.ranker).forward_flops([len(sequence) for sequence in probe]) / seconds if seconds > 0 else None
    )
