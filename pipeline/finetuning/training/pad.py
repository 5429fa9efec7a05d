"""Pad sequences of different lengths to one rectangle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, T), int64, padded on the right to the longest, on the CPU; T is at least 1."""
    width = max(1, *(len(sequence) for sequence in sequences))
    ids: NDArray[np.int64] = np.full((len(sequences), width), pad_id, dtype=np.int64)
    mask: NDArray[np.int64] = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
