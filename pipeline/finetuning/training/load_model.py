"""Load a base model onto its device and tokenize the prompts of a job for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.finetuning.cost import ModelSize, Rate, rate_of
from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.tokenizer import longest_prompt, tokenize
from pipeline.finetuning.training.base_model_files import load_tokenizer
from pipeline.finetuning.training.device import device_name, limit_memory
from pipeline.finetuning.training.model import Ranker, load_ranker
from pipeline.finetuning.training.score import score

Sequences = Sequence[Sequence[int]]

_PROBE_TOKENS = 4_096


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """The ranker, and the prompts to train on and to score as token ids."""

    ranker: Ranker
    train: Sequences
    scored: Sequences
    device: str


def load_model(
    recipe: FinetuneRecipe, train: Sequence[Prompted], scored: Sequence[Prompted], device: str
) -> LoadedModel:
    """Load the base model of `recipe` and tokenize the prompts. Raises AssayError if the model cannot be loaded."""
    limit_memory(device, recipe.memory_limit_gb)
    tokenizer = load_tokenizer(recipe.base_model)
    ranker = load_ranker(recipe, device=device, seed=recipe.seeds[0], tokenizer=tokenizer)
    max_tokens = longest_prompt(recipe, ranker.max_tokens, tokenizer.model_max_length)

    def tokens(functions: Sequence[Prompted]) -> Sequences:
        return tokenize(tokenizer, [render_prompt(function, recipe.ablation) for function in functions], max_tokens)

    return LoadedModel(ranker, tokens(train), tokens(scored), device)


def size_of(ranker: Ranker) -> ModelSize:
    config = ranker.adapted.get_base_model().config
    layers, hidden = (int(getattr(config, name, 0) or 0) for name in ("num_hidden_layers", "hidden_size"))
    return ModelSize(ranker.parameters_total, layers, hidden)


def expected_rate(loaded: LoadedModel, recipe: FinetuneRecipe, clock: Callable[[], float]) -> Rate | None:
    """Return the rate of a known device, else one measured by scoring a few prompts."""
    known = rate_of(device_name(loaded.device))
    return known or rate_of(loaded.device, _measured_flops_per_s(loaded, recipe, clock))


def _measured_flops_per_s(loaded: LoadedModel, recipe: FinetuneRecipe, clock: Callable[[], float]) -> float | None:
    probe: list[Sequence[int]] = []
    for sequence in loaded.train:
        if probe and sum(map(len, probe)) + len(sequence) > _PROBE_TOKENS:
            break
        probe.append(sequence)
    if not probe:
        return None
    # The first call warms up.
    score(loaded.ranker, probe[:1], micro_batch_tokens=recipe.micro_batch_tokens, device=loaded.device)
    began = clock()
    score(loaded.ranker, probe, micro_batch_tokens=recipe.micro_batch_tokens, device=loaded.device)
    seconds = clock() - began
    return (
        size_of(loaded.ranker).forward_flops([len(sequence) for sequence in probe]) / seconds if seconds > 0 else None
    )
