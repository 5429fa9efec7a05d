"""From the state of a prompt to one logit: a linear layer that is trained, or the digits that the model would write."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_HIGHEST = 9


class LogitHead(nn.Module):
    """One linear layer in float32, whatever the precision of the model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, width, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float32))

    def forward(self, states: Tensor) -> Tensor:
        """States (B, width) to logits (B,)."""
        with torch.autocast(states.device.type, enabled=False):
            return nn.functional.linear(states.float(), self.weight, self.bias).squeeze(-1)


class DigitsHead(nn.Module):
    """The expected digit of the model's own next token, among 0 to 9 alone, as the logit of its share of 9.

    With it an adapter is trained through the words that the model already has; there is nothing else to train.
    """

    def __init__(self, rows: Tensor, bias: Tensor | None = None) -> None:
        """`rows` of the output embedding, (10, width), in the order of the digits; `bias` (10,) where there is one."""
        super().__init__()
        digits = torch.arange(_HIGHEST + 1, dtype=torch.float32)
        self.rows: Tensor
        self.bias: Tensor
        self.log_up: Tensor
        self.log_down: Tensor
        self.register_buffer("rows", rows.detach().float().clone(), persistent=False)
        self.register_buffer("bias", torch.zeros(len(digits)) if bias is None else bias.detach().float().clone(), False)
        self.register_buffer("log_up", torch.log(digits / _HIGHEST), persistent=False)
        self.register_buffer("log_down", torch.log1p(-digits / _HIGHEST), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """States (B, width) of the last token to logits (B,): log E - log(9 - E), with no probability formed."""
        with torch.autocast(states.device.type, enabled=False):
            logits = nn.functional.linear(states.float(), self.rows, self.bias)
            return torch.logsumexp(logits + self.log_up, -1) - torch.logsumexp(logits + self.log_down, -1)


def initial(name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
    """What a trainable tensor begins as: LoRA's A at random and B at nought, so that nothing is added yet; float32.

    A as in Hu et al., "LoRA", ICLR 2022, by the Kaiming rule of the authors' code. The weight of the head is small:
    the first logits stay near 0 whatever the scale of a model's states.
    """
    if name.endswith("lora_A.weight"):
        return (torch.rand(shape, generator=random) * 2 - 1) / math.sqrt(shape[-1])
    if name == "head.weight":
        return torch.randn(shape, generator=random) / shape[-1]
    return torch.zeros(shape)
