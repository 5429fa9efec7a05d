"""The loss of a step and its gradient, whatever fits in memory.

The ranking loss compares every function of a step with every other, so it needs all scores together; the activations of
all of them may not fit. Since the loss depends on a function only through its score, backpropagation is split there:

    1. scores of all micro-batches    2. loss, and its gradient on the scores (a vector)
    3. backward from each micro-batch's scores into the adapter, one after the other

If the step fits as a whole, the activations of 1 are kept for 3. If not, 1 keeps none, and 3 computes each micro-batch
again with the same random numbers: half as much work again for exactly the same gradient (Gao et al., "Scaling Deep
Contrastive Learning Batch Size under Memory Limited Setup", 2021). So the loss does not depend on how a step is cut;
only rounding does, and which activations dropout leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.finetuning.batches import Members
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.device import random_state, restore_random_state
from pipeline.finetuning.training.pad import pad
from pipeline.finetuning.training.parallel import Processes
from pipeline.ranking.bootstrap import Floats


class Ranker(Protocol):
    """The interface that training needs of a model."""

    pad_id: int

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map ids and mask (B, T), int64, padded on the right, to scores (B,), float32."""
        ...

    def trainable(self) -> Mapping[str, Tensor]:
        """Return the trainable tensors by stable names."""
        ...

    def load_trainable(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the values in; the parameters stay the same objects."""
        ...

    def parameter_groups(self, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
        """Return the optimizer's groups, each with its `lr`; the adapter's first."""
        ...

    def train(self, mode: bool = True) -> Any: ...


@dataclass(frozen=True)
class Examples:
    """Token sequences (n) to learn from, and their targets (n,) in [0, 1]."""

    sequences: Sequence[Sequence[int]]
    targets: Floats


def loss(scores: Tensor, targets: Tensor, recipe: FinetuneRecipe) -> Tensor:
    """Return cross-entropy on soft targets plus `recipe.ranking_weight` times the ranking loss; a float32 scalar.

    `scores` are logits (B,), `targets` signals in [0, 1] (B,). NaN scores give a NaN loss.
    """
    pointwise = functional.binary_cross_entropy_with_logits(scores.float(), targets.float())
    return pointwise + recipe.ranking_weight * ranking_loss(scores, targets)


def ranking_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(s_j - s_i)) over the pairs with y_i > y_j; 0 for equal targets. Float32 scalar.

    The pairwise logistic loss of RankNet: Burges et al., "Learning to rank using gradient descent", ICML 2005.
    """
    scores = scores.float()
    ordered = targets.unsqueeze(1) > targets.unsqueeze(0)
    losses = functional.softplus(scores.unsqueeze(0) - scores.unsqueeze(1))
    # Selected, not multiplied: a pair that does not count must not contribute infinity times zero.
    counted = torch.where(ordered, losses, losses.new_zeros(()))
    return counted.sum() / ordered.sum().clamp(min=1)


def loss_and_gradients(
    ranker: Ranker,
    pieces: Sequence[Members],
    examples: Examples,
    recipe: FinetuneRecipe,
    *,
    device: str,
    keep_activations: bool,
    between: Callable[[], None],
    processes: Processes,
) -> float:
    """Add the gradient of a step to the parameters and return its loss.

    `pieces` are the micro-batches of the step; `keep_activations` holds those of all of them in memory. `between` is
    called before each computation; if it raises, the gradient is left incomplete.
    """
    rows = list(_rows(pieces))
    mine = range(processes.share, len(pieces), processes.shares)
    scores = torch.zeros(rows[-1].stop, device=device)
    live: dict[int, Tensor] = {}
    rng_states = {}
    for number in mine:
        between()
        rng_states[number] = random_state(device)
        with torch.set_grad_enabled(keep_activations):
            live[number] = _scores(ranker, pieces[number], examples, device)
        scores[rows[number]] = live[number].detach()
    scores = processes.total(scores).requires_grad_()
    members = [member for piece in pieces for member in piece]
    value = loss(scores, torch.tensor(examples.targets[members], dtype=torch.float32, device=device), recipe)
    (score_gradients,) = torch.autograd.grad(value, scores)
    for number in mine:
        between()
        if not keep_activations:
            restore_random_state(device, rng_states[number])
            live[number] = _scores(ranker, pieces[number], examples, device)
        torch.autograd.backward(live.pop(number), score_gradients[rows[number]])
    return float(value.detach())


def total_gradients(parameters: Sequence[Tensor], processes: Processes) -> None:
    """Sum the gradients of all processes, in one message because there are hundreds of tensors."""
    if processes.shares == 1:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    total = processes.total(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(total, [parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def _scores(ranker: Ranker, piece: Members, examples: Examples, device: str) -> Tensor:
    ids, mask = pad([examples.sequences[member] for member in piece], ranker.pad_id)
    return ranker(ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)).float()


def _rows(pieces: Sequence[Members]) -> Iterator[slice]:
    """Yield the positions of each micro-batch's scores within the step."""
    start = 0
    for piece in pieces:
        yield slice(start, start + len(piece))
        start += len(piece)
