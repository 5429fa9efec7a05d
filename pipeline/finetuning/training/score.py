"""Prompts to scores, in their order: batches of like length, halved where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.finetuning.training.devices import is_out_of_memory
from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.pad import pad
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

MOST_PADDING = 0.1  # of the tokens of a batch


def score(
    ranker: Ranker,
    sequences: Sequence[Sequence[int]],
    *,
    micro_batch_tokens: int,
    device: str,
    watch: Callable[[int], None] | None = None,
) -> Floats:
    """The logits (N,) of N prompts, each a sequence of token ids. NaN where the model gives NaN.

    At most `micro_batch_tokens` with padding go at once; half as many when memory runs out. `watch` hears after each
    batch how many prompts are done, and may raise to stop. Raises AssayError where not even one prompt fits.
    """
    return _run(ranker, ranker, sequences, micro_batch_tokens, device, watch)


def embed(
    ranker: Ranker,
    sequences: Sequence[Sequence[int]],
    *,
    micro_batch_tokens: int,
    device: str,
    watch: Callable[[int], None] | None = None,
) -> Floats:
    """The mean states (N, width) that the untouched base model has of N prompts; otherwise as `score`."""
    with ranker.without_adapter():
        return _run(ranker, ranker.embed, sequences, micro_batch_tokens, device, watch)


def next_batch(lengths: Sequence[int], micro_batch_tokens: int) -> int:
    """How many of these lengths, longest first, go into one batch: at least one, with at most a tenth of padding."""
    longest, total = max(1, lengths[0]), 0
    for count, length in enumerate(lengths, start=1):
        total += max(1, length)
        padded = count * longest
        if count > 1 and (padded > micro_batch_tokens or padded - total > MOST_PADDING * padded):
            return count - 1
    return len(lengths)


def _run(
    ranker: Ranker,
    compute: Callable[[Tensor, Tensor], Tensor],
    sequences: Sequence[Sequence[int]],
    budget: int,
    device: str,
    watch: Callable[[int], None] | None,
) -> Floats:
    """Longest first, so that memory runs out at the start or not at all. Results wait on the device to the end."""
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    lengths = [len(sequences[i]) for i in order]
    parts: list[Tensor] = []
    done = 0
    was_training = ranker.training
    ranker.eval()
    try:
        while done < len(order):
            count = next_batch(lengths[done:], budget)
            ids, mask = pad([sequences[i] for i in order[done : done + count]], ranker.pad_id)
            computed = _attempt(compute, ids, mask, device)
            if computed is None:
                budget = _halved(ids)
                continue
            parts.append(computed)
            done += count
            if watch is not None:
                watch(done)
    finally:
        ranker.train(was_training)
    if not parts:
        return np.zeros(0)
    values = torch.cat(parts).double().cpu().numpy()
    in_order: Floats = np.empty_like(values)
    in_order[order] = values
    return in_order


def _attempt(compute: Callable[[Tensor, Tensor], Tensor], ids: Tensor, mask: Tensor, device: str) -> Tensor | None:
    """None when memory ran out: the error, and the tensors that it holds on to, must be gone before the next try."""
    try:
        with torch.inference_mode():
            return compute(ids.to(device, non_blocking=True), mask.to(device, non_blocking=True))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _halved(ids: Tensor) -> int:
    """Half the tokens of a batch that did not fit. Raises AssayError where it was a single prompt."""
    if len(ids) == 1:
        raise AssayError(
            f"one prompt of {ids.numel()} tokens does not fit the memory: lower max_tokens or name a smaller "
            "--base-model"
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return ids.numel() // 2
