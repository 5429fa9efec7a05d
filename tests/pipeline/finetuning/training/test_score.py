from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.finetuning.training.pad import pad
from pipeline.finetuning.training.score import MAX_PADDING, next_batch, score
from pipeline.records import AssayError

pytestmark = pytest.mark.finetune

PAD = 7
some_lengths = st.lists(st.integers(0, 200), min_size=1, max_size=60).map(lambda lengths: sorted(lengths, reverse=True))


class Sums(nn.Module):
    """In the place of a ranker: the score is the sum of the ids. Runs out of memory above `room` tokens."""

    pad_id = PAD

    def __init__(self, room: int = 10**9, error: RuntimeError | None = None) -> None:
        super().__init__()
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.shapes: list[tuple[int, ...]] = []
        self.modes: set[tuple[bool, bool]] = set()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.shapes.append(tuple(ids.shape))
        self.modes.add((self.training, torch.is_inference_mode_enabled()))
        if ids.numel() > self.room:
            raise self.error
        assert bool((ids[mask == 0] == PAD).all())
        return (ids * mask).sum(1).float()


def scored(ranker: Any, sequences: list[list[int]], tokens: int = 64, **others: Any) -> list[float]:
    return score(ranker, sequences, micro_batch_tokens=tokens, device="cpu", **others).tolist()


@given(st.lists(st.lists(st.integers(0, 50), max_size=30), max_size=40), st.integers(1, 100))
def test_every_prompt_gets_its_own_score_in_the_given_order(sequences: list[list[int]], tokens: int) -> None:
    assert scored(Sums(), sequences, tokens) == [sum(ids) for ids in sequences]


@given(some_lengths, st.integers(1, 400))
def test_a_batch_respects_its_tokens_and_pads_at_most_a_tenth(lengths: list[int], tokens: int) -> None:
    count = next_batch(lengths, tokens)
    padded = count * max(1, lengths[0])
    assert 1 <= count <= len(lengths)
    assert count == 1 or padded <= tokens
    assert padded - sum(max(1, length) for length in lengths[:count]) <= MAX_PADDING * padded


def test_a_batch_takes_everything_that_fits() -> None:
    assert next_batch([10, 10, 10, 10], 30) == 3
    assert next_batch([10, 9, 8, 5], 1_000) == 3  # 27 of 30 is a tenth; with 5, 32 of 40
    assert next_batch([100, 1], 50) == 1


def test_prompts_are_padded_on_the_right() -> None:
    ids, mask = pad([[1, 2, 3], [4]], PAD)
    assert ids.tolist() == [[1, 2, 3], [4, PAD, PAD]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_prompts_without_a_token_still_make_a_batch() -> None:
    ids, mask = pad([[], []], PAD)
    assert (ids.tolist(), mask.tolist()) == ([[PAD], [PAD]], [[0], [0]])


@pytest.mark.parametrize("error", [None, RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_running_out_of_memory_halves_the_batch_and_changes_no_score(error: RuntimeError | None) -> None:
    ranker = Sums(room=20, error=error)
    sequences = [[i] * 8 for i in range(16)]
    assert scored(ranker, sequences, 64) == [8 * i for i in range(16)]
    # 64, 32 and then 16 tokens; what fitted once is not tried larger again.
    assert ranker.shapes == [(8, 8), (4, 8), *[(2, 8)] * 8]


def test_a_prompt_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(AssayError, match=r"one prompt of 30 tokens .* max_tokens .* --base-model"):
        scored(Sums(room=20), [[1] * 30, [1]])


def test_an_error_that_is_not_about_memory_is_not_retried() -> None:
    ranker = Sums(room=0, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        scored(ranker, [[1], [2]])
    assert len(ranker.shapes) == 1


@pytest.mark.parametrize("training", [True, False])
def test_scoring_uses_no_dropout_or_gradients_and_restores_the_mode(training: bool) -> None:
    ranker = Sums()
    ranker.train(training)
    scored(ranker, [[1]])
    assert (ranker.modes, ranker.training) == ({(False, True)}, training)


def test_nan_passes_through() -> None:
    class Broken(Sums):
        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            return torch.where(ids[:, 0] == 3, math.nan, super().forward(ids, mask))

    np.testing.assert_array_equal(scored(Broken(), [[1], [3], [2]]), [1.0, math.nan, 2.0])


def test_watch_receives_the_number_done_and_may_stop() -> None:
    heard: list[int] = []
    scored(Sums(), [[1] * 10] * 5, 20, watch=heard.append)
    assert heard == [2, 4, 5]

    def stop(done: int) -> None:
        raise InterruptedError

    ranker = Sums()
    with pytest.raises(InterruptedError):
        scored(ranker, [[1] * 10] * 5, 20, watch=stop)
    assert (len(ranker.shapes), ranker.training) == (1, True)


def test_nothing_to_score_gives_no_scores() -> None:
    assert scored(Sums(), []) == []
