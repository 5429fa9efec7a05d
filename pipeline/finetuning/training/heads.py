"""Heads that map the state of a prompt to one logit: a trained linear layer, or the model's own digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_MAX_DIGIT = 9


class LogitHead(nn.Module):
    """A linear layer in float32, whatever the precision of the model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, width, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float32))

    def forward(self, states: Tensor) -> Tensor:
        """Map states (B, width) to logits (B,)."""
        with torch.autocast(states.device.type, enabled=False):
            return nn.functional.linear(states.float(), self.weight, self.bias).squeeze(-1)


class DigitsHead(nn.Module):
    """The expectation of the next token, restricted to the digits 0 to 9, as the logit of its share of 9.

    It has no parameters: the adapter is trained through tokens that the model already knows.
    """

    def __init__(self, rows: Tensor, bias: Tensor | None = None) -> None:
        """`rows` of the output embedding, (10, width), in the order of the digits; `bias` (10,) if there is one."""
        super().__init__()
        digits = torch.arange(_MAX_DIGIT + 1, dtype=torch.float32)
        self.rows: Tensor
        self.bias: Tensor
        self.log_up: Tensor
        self.log_down: Tensor
        self.register_buffer("rows", rows.detach().float().clone(), persistent=False)
        self.register_buffer("bias", torch.zeros(len(digits)) if bias is None else bias.detach().float().clone(), False)
        self.register_buffer("log_up", torch.log(digits / _MAX_DIGIT), persistent=False)
        self.register_buffer("log_down", torch.log1p(-digits / _MAX_DIGIT), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Map states (B, width) of the last token to logits (B,): log E - log(9 - E), computed in log space."""
        with torch.autocast(states.device.type, enabled=False):
            logits = nn.functional.linear(states.float(), self.rows, self.bias)
            return torch.logsumexp(logits + self.log_up, -1) - torch.logsumexp(logits + self.log_down, -1)


def initial(name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
    """Return the initial value of a trainable tensor, float32: LoRA's A random, B zero, so that they add nothing yet.

    A follows Hu et al., "LoRA", ICLR 2022, with the Kaiming rule of the authors' code. The weight of the head is small:
    the first logits stay near 0 whatever the scale of a model's states.
    """
    if name.endswith("lora_A.weight"):
        return (torch.rand(shape, generator=random) * 2 - 1) / math.sqrt(shape[-1])
    if name == "head.weight":
        return torch.randn(shape, generator=random) / shape[-1]
    return torch.zeros(shape)
