"""What an adapter is trained for: signals met one by one, and functions of a batch put in their order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.finetuning.recipe import FinetuneRecipe


def loss(scores: Tensor, targets: Tensor, recipe: FinetuneRecipe) -> Tensor:
    """Cross-entropy on soft targets plus `recipe.ranking_weight` times the ranking loss; a float32 scalar.

    `scores` are logits (B,), `targets` signals in [0, 1] (B,). NaN scores give a NaN loss.
    """
    pointwise = functional.binary_cross_entropy_with_logits(scores.float(), targets.float())
    return pointwise + recipe.ranking_weight * ranking_loss(scores, targets)


def ranking_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean of log(1 + exp(s_j - s_i)) over the pairs with y_i > y_j; 0 where all targets are equal. Float32 scalar.

    The pairwise logistic loss of RankNet: Burges et al., "Learning to rank using gradient descent", ICML 2005.
    """
    scores = scores.float()
    ordered = targets.unsqueeze(1) > targets.unsqueeze(0)
    losses = functional.softplus(scores.unsqueeze(0) - scores.unsqueeze(1))
    # Selected and not multiplied: a pair that does not count must not bring in an infinity times nought.
    counted = torch.where(ordered, losses, losses.new_zeros(()))
    return counted.sum() / ordered.sum().clamp(min=1)
