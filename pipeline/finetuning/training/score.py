"""Score prompts in batches of similar length, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.finetuning.training.device import is_out_of_memory
from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.pad import pad
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

MAX_PADDING = 0.1  # of the tokens of a batch


def score(
    ranker: Ranker,
    sequences: Sequence[Sequence[int]],
    *,
    micro_batch_tokens: int,
    device: str,
    watch: Callable[[int], None] | None = None,
) -> Floats:
    """Return the logits (N,) of N prompts (token ids) in their order. NaN where the model gives NaN.

    A batch holds at most `micro_batch_tokens` with padding; half as many when memory runs out. `watch` receives the
    number of prompts done after each batch, and may raise to stop. Raises AssayError if not even one prompt fits.
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
    """Return the mean states (N, width) of N prompts in the untouched base model; otherwise like `score`."""
    with ranker.without_adapter():
        return _run(ranker, ranker.embed, sequences, micro_batch_tokens, device, watch)


def next_batch(lengths: Sequence[int], micro_batch_tokens: int) -> int:
    """Return how many of these lengths, longest first, form a batch: at least one, with at most a tenth of padding."""
    longest, total = max(1, lengths[0]), 0
    for count, length in enumerate(lengths, start=1):
        total += max(1, length)
        padded = count * longest
        if count > 1 and (padded > micro_batch_tokens or padded - total > MAX_PADDING * padded):
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
    """Compute longest first, so that memory runs out early or never. Results stay on the device until the end."""
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
    """Return None when memory ran out: the error and the tensors it keeps alive must be gone before the next try."""
    try:
        with torch.inference_mode():
            return compute(ids.to(device, non_blocking=True), mask.to(device, non_blocking=True))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _halved(ids: Tensor) -> int:
    """Return half the tokens of a batch that did not fit. Raises AssayError for a single prompt."""
    if len(ids) == 1:
        raise AssayError(
            f"one prompt of {ids.numel()} tokens does not fit in memory: lower max_tokens or name a smaller "
            "--base-model"
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return ids.numel() // 2
