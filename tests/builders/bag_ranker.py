"""The smallest model that can be trained: the mean of token embeddings, dropout, and a linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.ranking.bootstrap import Floats

VOCABULARY = 50
SIGNAL_TOKEN = 7


class BagRanker(nn.Module):
    """A stand-in for Ranker. `before` receives each micro-batch and may raise what a device would."""

    pad_id = 0

    def __init__(
        self, *, dropout: float = 0.3, width: int = 16, before: Callable[[Tensor], None] | None = None
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.tokens = nn.Embedding(VOCABULARY, width)
            self.hidden = nn.Linear(width, width)
            self.head = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.before = before

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.before:
            self.before(input_ids)
        weights = attention_mask.unsqueeze(-1).float()
        mean = (self.tokens(input_ids) * weights).sum(1) / weights.sum(1)
        scores: Tensor = self.head(self.dropout(torch.tanh(self.hidden(mean)))).squeeze(-1)
        return scores

    def trainable(self) -> Mapping[str, Tensor]:
        return dict(self.named_parameters())

    def load_trainable(self, tensors: Mapping[str, Tensor]) -> None:
        self.load_state_dict(tensors)

    def parameter_groups(self, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
        return [
            {"params": [*self.tokens.parameters(), *self.hidden.parameters()], "lr": recipe.learning_rate},
            {"params": [*self.head.parameters()], "lr": recipe.head_learning_rate, "weight_decay": 0.0},
        ]


def planted(count: int, *, seed: int = 0, longest: int = 60, share: float = 0.3) -> tuple[list[list[int]], Floats]:
    """Return token sequences, and signals that grow with the frequency of one token."""
    random = np.random.default_rng(seed)
    sequences, targets = [], np.zeros(count)
    for number in range(count):
        sequence = random.integers(8, VOCABULARY, size=int(random.integers(5, longest)))
        if random.random() < share:
            targets[number] = random.uniform(0.1, 1)
            sequence[random.random(len(sequence)) < targets[number] * 0.5] = SIGNAL_TOKEN
        sequences.append(sequence.tolist())
    return sequences, targets
