from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.finetuning.batches import Members, micro_batches
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.gradients import Examples, loss_and_gradients
from pipeline.finetuning.training.objective import loss
from pipeline.finetuning.training.pad import pad
from pipeline.finetuning.training.parallel import Alone
from tests.builders.bag_ranker import BagRanker, planted

pytestmark = pytest.mark.finetune

RECIPE = FinetuneRecipe()
SEQUENCES, TARGETS = planted(24)
LENGTHS = [len(sequence) for sequence in SEQUENCES]
STEP = tuple(range(24))


def gradients(pieces: tuple[Members, ...], *, at_once: bool, dropout: float) -> tuple[float, list[Tensor]]:
    ranker = BagRanker(dropout=dropout)
    torch.manual_seed(1)
    value = loss_and_gradients(
        ranker,
        pieces,
        Examples(SEQUENCES, TARGETS),
        RECIPE,
        device="cpu",
        at_once=at_once,
        between=lambda: None,
        processes=Alone(),
    )
    return value, [parameter.grad for parameter in ranker.parameters() if parameter.grad is not None]


def test_the_gradient_is_that_of_the_loss_of_the_whole_step() -> None:
    ranker = BagRanker(dropout=0)
    value = loss(ranker(*pad(SEQUENCES, 0)), torch.tensor(TARGETS, dtype=torch.float32), RECIPE)
    value.backward()
    computed, found = gradients(micro_batches(STEP, LENGTHS, 300), at_once=True, dropout=0)
    assert computed == pytest.approx(value.item())
    for parameter, gradient in zip(ranker.parameters(), found, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("most_tokens", [1, 60, 200, 700])
def test_how_a_step_is_cut_does_not_change_the_gradient(most_tokens: int) -> None:
    value, whole = gradients((STEP,), at_once=True, dropout=0)
    pieces = micro_batches(STEP, LENGTHS, most_tokens)
    assert len(pieces) > 1
    cut_value, cut = gradients(pieces, at_once=False, dropout=0)
    assert cut_value == pytest.approx(value)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other)


def test_computing_twice_gives_the_same_bits_as_keeping_activations_dropout_and_all() -> None:
    pieces = micro_batches(STEP, LENGTHS, 300)
    value, kept = gradients(pieces, at_once=True, dropout=0.5)
    state = torch.get_rng_state()
    again, computed_twice = gradients(pieces, at_once=False, dropout=0.5)
    assert value == again
    assert all(torch.equal(one, other) for one, other in zip(kept, computed_twice, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    _, without = gradients(pieces, at_once=True, dropout=0)
    assert not torch.equal(kept[0], without[0])


def test_what_is_asked_between_is_asked_before_each_computation() -> None:
    asked: list[None] = []
    pieces = micro_batches(STEP, LENGTHS, 300)
    loss_and_gradients(
        BagRanker(),
        pieces,
        Examples(SEQUENCES, TARGETS),
        RECIPE,
        device="cpu",
        at_once=False,
        between=lambda: asked.append(None),
        processes=Alone(),
    )
    assert len(asked) == 2 * len(pieces)


def test_sequences_are_padded_on_the_right() -> None:
    ids, mask = pad([[5, 6, 7], [8]], pad_id=3)
    assert ids.tolist() == [[5, 6, 7], [8, 3, 3]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
