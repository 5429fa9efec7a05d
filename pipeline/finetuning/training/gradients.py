"""The gradient of one step, whatever fits the memory.

The ranking loss compares every function of a step with every other, so the loss needs all scores at once; the
activations of all of them may not fit. Since the loss knows a function by its score alone, the chain is cut there:

    1. scores of all micro-batches    2. loss, and its gradient on the scores (a vector)
    3. back from each micro-batch's scores into the adapter, one after the other

Where the step fits as a whole, the activations of 1 are kept for 3. Where it does not, 1 keeps none, and 3 computes
each micro-batch again with the same random numbers: half as much work more, and the very same gradient (Gao et al.,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021). So the loss does not depend on how a
step is cut; what does is rounding, and which activations dropout leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.finetuning.batches import Members
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.device import random_state, restore_random_state
from pipeline.finetuning.training.objective import loss
from pipeline.finetuning.training.pad import pad
from pipeline.finetuning.training.parallel import Processes
from pipeline.ranking.bootstrap import Floats


class Ranker(Protocol):
    """What training asks of a model."""

    pad_id: int

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Ids and mask (B, T), int64, padded on the right, to scores (B,), float32."""
        ...

    def trainable(self) -> Mapping[str, Tensor]:
        """What training changes, by names that stay the same."""
        ...

    def load_trainable(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the values in; the parameters stay the same objects."""
        ...

    def parameter_groups(self, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
        """For the optimiser, each with its `lr`; the adapter's first."""
        ...

    def train(self, mode: bool = True) -> Any: ...


@dataclass(frozen=True)
class Examples:
    """What is learned from: token sequences (n) and their targets (n,) in [0, 1]."""

    sequences: Sequence[Sequence[int]]
    targets: Floats


def loss_and_gradients(
    ranker: Ranker,
    pieces: Sequence[Members],
    examples: Examples,
    recipe: FinetuneRecipe,
    *,
    device: str,
    at_once: bool,
    between: Callable[[], None],
    processes: Processes,
) -> float:
    """Add the gradient of a step to the parameters, and return its loss.

    `pieces` are the micro-batches of the step; with `at_once` the activations of all of them are kept. `between` is
    called before each computation; what it raises leaves the gradient half done.
    """
    rows = list(_rows(pieces))
    mine = range(processes.share, len(pieces), processes.shares)
    scores = torch.zeros(rows[-1].stop, device=device)
    live: dict[int, Tensor] = {}
    drawn_from = {}
    for number in mine:
        between()
        drawn_from[number] = random_state(device)
        with torch.set_grad_enabled(at_once):
            live[number] = _scores(ranker, pieces[number], examples, device)
        scores[rows[number]] = live[number].detach()
    scores = processes.total(scores).requires_grad_()
    members = [member for piece in pieces for member in piece]
    value = loss(scores, torch.tensor(examples.targets[members], dtype=torch.float32, device=device), recipe)
    (wanted,) = torch.autograd.grad(value, scores)
    for number in mine:
        between()
        if not at_once:
            restore_random_state(device, drawn_from[number])
            live[number] = _scores(ranker, pieces[number], examples, device)
        torch.autograd.backward(live.pop(number), wanted[rows[number]])
    return float(value.detach())


def total_gradients(parameters: Sequence[Tensor], processes: Processes) -> None:
    """Add up what each process found for its own micro-batches; in one message, since there are hundreds of tensors."""
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
    """Where the scores of each micro-batch stand among those of the step."""
    start = 0
    for piece in pieces:
        yield slice(start, start + len(piece))
        start += len(piece)
