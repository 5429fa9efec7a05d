"""AdamW with linear warm-up and cosine decay, and its moments as named tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.finetuning.recipe import FinetuneRecipe


class Optimizer:
    """AdamW over `groups`, each with its peak `lr`, for `planned` steps."""

    def __init__(self, groups: list[dict[str, Any]], recipe: FinetuneRecipe, planned: int) -> None:
        self.parameters: list[Tensor] = [parameter for group in groups for parameter in group["params"]]
        self._peaks = [float(group["lr"]) for group in groups]
        self._adamw = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        self._planned = planned
        self._warmup_share = recipe.warmup_share
        self._max_norm = recipe.max_gradient_norm

    def clip(self) -> float:
        """Clip the gradient to the recipe's maximal norm and return its norm before."""
        return float(torch.nn.utils.clip_grad_norm_(self.parameters, self._max_norm))

    def update(self, step: int) -> float:
        """Apply step `step` (1-based), clear gradients, and return the learning rate of the first group."""
        factor = learning_rate_factor(step, self._planned, self._warmup_share)
        for group, peak in zip(self._adamw.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._adamw.step()
        self.clear_gradients()
        return self._peaks[0] * factor

    def clear_gradients(self) -> None:
        self._adamw.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments by `PARAMETER_NUMBER/NAME`, copied to the CPU."""
        return {
            f"{number}/{name}": tensor.detach().to("cpu", copy=True)
            for number, moments in self._adamw.state_dict()["state"].items()
            for name, tensor in moments.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        moments: dict[int, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            number, _, name = path.partition("/")
            moments.setdefault(int(number), {})[name] = tensor
        self._adamw.load_state_dict({"state": moments, "param_groups": self._adamw.state_dict()["param_groups"]})


def learning_rate_factor(step: int, planned: int, warmup_share: float) -> float:
    """Return the factor on the learning rate at step `step` (1-based): linear warm-up, then half a cosine.

    1 at the end of the warm-up, 0 one step after the last planned one.
    """
    warmup = math.ceil(warmup_share * planned)
    if step <= warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (planned - warmup + 1)))
