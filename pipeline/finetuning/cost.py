"""What a run will cost, before it starts. Pure.

FLOPs as in Kaplan et al., "Scaling laws for neural language models" (2020): 2N a token forward, N being the parameters
without embeddings. With LoRA the way back needs the gradients of activations but none of the frozen weights: 2N more,
so 4N a trained token instead of 6N. Attention adds 2·2·layers·hidden·T² a sequence of T tokens forward (queries times
keys, and weights times values; a causal mask is not subtracted) and twice that on the way back. LoRA's own matrices
(about 1 % of N) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.finetuning.recipe import FinetuneRecipe

# Dense bf16 matrix products in FLOP/s without sparsity, from the makers' data sheets; fp16 where there is no bf16. The
# longest name that a device's own name contains is the one.
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
    """What of a base model costs time."""

    parameters: int  # without embeddings
    layers: int = 0  # 0: attention is not counted
    hidden: int = 0

    def forward_flops(self, lengths: Sequence[int]) -> float:
        """One pass over sequences of these lengths in tokens."""
        attention = 4.0 * self.layers * self.hidden * sum(length * length for length in lengths)
        return 2.0 * self.parameters * sum(lengths) + attention

    def training_flops(self, lengths: Sequence[int], *, checkpointing: bool = False) -> float:
        """One pass there and back; with gradient checkpointing the way there is gone twice."""
        tokens = 2.0 * self.parameters * sum(lengths)
        attention = self.forward_flops(lengths) - tokens
        return (3.0 if checkpointing else 2.0) * tokens + (4.0 if checkpointing else 3.0) * attention


@dataclass(frozen=True, slots=True)
class Rate:
    """How many FLOP a second to count on, and why."""

    flops_per_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run costs at most: training may need fewer steps than planned, never more."""

    trained_tokens: int  # over epochs, both fits of every seed
    scored_tokens: int  # validations, holdout, frozen embeddings
    flops: float
    minutes: float | None  # none where nothing is known of the device
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
    """The cost of a job from the lengths of its prompts in tokens.

    Each seed is fitted twice, on early labels and on all. `validated_lengths` are the functions that every validation
    scores: all of training where None. `embedded` counts frozen embeddings of training and holdout, once.
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
    """The peak of a device by the name that its driver gives ("NVIDIA H200"), in FLOP/s; None for an unknown one."""
    words = device.replace("-", " ").split()
    known = [name for name in _PEAKS if _contains(words, name.split())]
    return _PEAKS[max(known, key=len)] if known else None


def rate_of(device: str, measured_flops_per_s: float | None = None) -> Rate | None:
    """The rate to count on: measured in training where it was, else a share of the device's peak; None if unknown."""
    if measured_flops_per_s is not None and measured_flops_per_s > 0:
        return Rate(measured_flops_per_s, "measured on this device")
    peak = peak_of(device)
    if peak is None:
        return None
    return Rate(EXPECTED_UTILISATION * peak, f"{EXPECTED_UTILISATION:.0%} of the peak of {device}")


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(word in words for word in wanted)
