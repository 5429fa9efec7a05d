"""Estimate the cost of a run before it starts. Pure.

FLOPs follow Kaplan et al., "Scaling laws for neural language models" (2020): 2N per token forward, where N counts the
parameters without embeddings. With LoRA the backward pass needs the gradients of activations but not of the frozen
weights: 2N more, so 4N per trained token instead of 6N. Attention adds 2·2·layers·hidden·T² per sequence of T tokens
forward (queries times keys, and weights times values; a causal mask is not subtracted) and twice that backward. LoRA's
own matrices (about 1 % of N) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.finetuning.recipe import FinetuneRecipe

# Dense bf16 matrix products in FLOP/s without sparsity, from the vendors' data sheets; fp16 where bf16 is missing. The
# longest name that is part of the device's name counts.
_PEAKS = {
    "B200": 2.25e15,
    "H200": 989e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 112e12,
    "T4": 65e12,
}
EXPECTED_UTILISATION = 0.3


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The dimensions of a base model that determine its cost."""

    parameters: int  # without embeddings
    layers: int = 0  # 0 leaves attention out
    hidden: int = 0

    def forward_flops(self, lengths: Sequence[int]) -> float:
        """Return the FLOPs of a forward pass over sequences of these lengths in tokens."""
        attention = 4.0 * self.layers * self.hidden * sum(length * length for length in lengths)
        return 2.0 * self.parameters * sum(lengths) + attention

    def training_flops(self, lengths: Sequence[int], *, checkpointing: bool = False) -> float:
        """Return the FLOPs of a forward and a backward pass; gradient checkpointing repeats the forward pass."""
        tokens = 2.0 * self.parameters * sum(lengths)
        attention = self.forward_flops(lengths) - tokens
        return (3.0 if checkpointing else 2.0) * tokens + (4.0 if checkpointing else 3.0) * attention


@dataclass(frozen=True, slots=True)
class Rate:
    """The expected speed in FLOP/s and its source."""

    flops_per_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a run can cost: training may need fewer steps than planned, never more."""

    trained_tokens: int  # over all epochs and both fits of every seed
    scored_tokens: int  # validations, holdout, frozen embeddings
    flops: float
    minutes: float | None  # None for a device of unknown speed
    rate: Rate | None


def estimate(
    train_lengths: Sequence[int],
    holdout_lengths: Sequence[int],
    recipe: FinetuneRecipe,
    size: ModelSize,
    rate: Rate | None,
    *,
    validated_lengths: Sequence[int] | None = None,
    embedded: bool = True,
) -> Estimate:
    """Return the cost of a run from the lengths of its prompts in tokens.

    Each seed is fitted twice, on early labels and on all. `validated_lengths` are the functions that every validation
    scores: all training functions if None. `embedded` adds frozen embeddings of training and holdout, once.
    """
    validated = train_lengths if validated_lengths is None else validated_lengths
    seeds, passes = len(recipe.seeds), 2 * recipe.epochs * len(recipe.seeds)
    scored = (
        (validated, seeds * recipe.validations),
        (holdout_lengths, seeds + int(embedded)),
        (train_lengths, int(embedded)),
    )
    flops = passes * size.training_flops(train_lengths, checkpointing=recipe.gradient_checkpointing)
    flops += sum(times * size.forward_flops(lengths) for lengths, times in scored)
    return Estimate(
        trained_tokens=passes * sum(train_lengths),
        scored_tokens=sum(times * sum(lengths) for lengths, times in scored),
        flops=flops,
        minutes=None if rate is None else flops / rate.flops_per_s / 60,
        rate=rate,
    )


def peak_of(device: str) -> float | None:
    """Return the peak in FLOP/s of a device by its driver's name ("NVIDIA H200"); None for an unknown one."""
    words = device.replace("-", " ").split()
    known = [name for name in _PEAKS if _contains(words, name.split())]
    return _PEAKS[max(known, key=len)] if known else None


def rate_of(device: str, measured_flops_per_s: float | None = None) -> Rate | None:
    """Return the measured rate if given, else a share of the device's peak; None for an unknown device."""
    if measured_flops_per_s is not None and measured_flops_per_s > 0:
        return Rate(measured_flops_per_s, "measured on this device")
    peak = peak_of(device)
    if peak is None:
        return None
    return Rate(EXPECTED_UTILISATION * peak, f"{EXPECTED_UTILISATION:.0%} of the peak of {device}")


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(word in words for word in wanted)
