from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.finetuning.batches import Members, micro_batches
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.gradients import Examples, loss, loss_and_gradients, ranking_loss
from pipeline.finetuning.training.pad import pad
from pipeline.finetuning.training.parallel import Alone
from tests.builders.bag_ranker import BagRanker, planted

pytestmark = pytest.mark.finetune

RECIPE = FinetuneRecipe()
SEQUENCES, TARGETS = planted(24)
LENGTHS = [len(sequence) for sequence in SEQUENCES]
STEP = tuple(range(24))


def gradients(pieces: tuple[Members, ...], *, keep_activations: bool, dropout: float) -> tuple[float, list[Tensor]]:
    ranker = BagRanker(dropout=dropout)
    torch.manual_seed(1)
    value = loss_and_gradients(
        ranker,
        pieces,
        Examples(SEQUENCES, TARGETS),
        RECIPE,
        device="cpu",
        keep_activations=keep_activations,
        between=lambda: None,
        processes=Alone(),
    )
    return value, [parameter.grad for parameter in ranker.parameters() if parameter.grad is not None]


def test_the_gradient_is_that_of_the_loss_of_the_whole_step() -> None:
    ranker = BagRanker(dropout=0)
    value = loss(ranker(*pad(SEQUENCES, 0)), torch.tensor(TARGETS, dtype=torch.float32), RECIPE)
    value.backward()
    computed, found = gradients(micro_batches(STEP, LENGTHS, 300), keep_activations=True, dropout=0)
    assert computed == pytest.approx(value.item())
    for parameter, gradient in zip(ranker.parameters(), found, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad)


@pytest.mark.parametrize("most_tokens", [1, 60, 200, 700])
def test_how_a_step_is_cut_does_not_change_the_gradient(most_tokens: int) -> None:
    value, whole = gradients((STEP,), keep_activations=True, dropout=0)
    pieces = micro_batches(STEP, LENGTHS, most_tokens)
    assert len(pieces) > 1
    cut_value, cut = gradients(pieces, keep_activations=False, dropout=0)
    assert cut_value == pytest.approx(value)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other)


def test_recomputing_gives_the_same_bits_as_keeping_activations_even_with_dropout() -> None:
    pieces = micro_batches(STEP, LENGTHS, 300)
    value, kept = gradients(pieces, keep_activations=True, dropout=0.5)
    state = torch.get_rng_state()
    again, computed_twice = gradients(pieces, keep_activations=False, dropout=0.5)
    assert value == again
    assert all(torch.equal(one, other) for one, other in zip(kept, computed_twice, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    _, without = gradients(pieces, keep_activations=True, dropout=0)
    assert not torch.equal(kept[0], without[0])


def test_between_is_called_before_each_computation() -> None:
    calls: list[None] = []
    pieces = micro_batches(STEP, LENGTHS, 300)
    loss_and_gradients(
        BagRanker(),
        pieces,
        Examples(SEQUENCES, TARGETS),
        RECIPE,
        device="cpu",
        keep_activations=False,
        between=lambda: calls.append(None),
        processes=Alone(),
    )
    assert len(calls) == 2 * len(pieces)


def test_sequences_are_padded_on_the_right() -> None:
    ids, mask = pad([[5, 6, 7], [8]], pad_id=3)
    assert ids.tolist() == [[5, 6, 7], [8, 3, 3]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


POINTWISE = dataclasses.replace(RECIPE, ranking_weight=0)
LN2 = math.log(2)

signals = st.sampled_from([0.0, 0.0, 0.125, 0.5, 1.0])
batches = st.lists(st.tuples(st.floats(-30, 30, width=32), signals), min_size=1, max_size=12)


def tensors(batch: list[tuple[float, float]]) -> tuple[torch.Tensor, torch.Tensor]:
    scores, targets = zip(*batch, strict=True)
    return torch.tensor(scores), torch.tensor(targets)


def test_both_parts_of_the_loss_worked_out_by_hand() -> None:
    # sigma(0) = 1/2 and 1 - sigma(ln 3) = 1/4: (ln 2 + ln 4) / 2. The one pair is in the wrong order: ln(1 + 3).
    scores, targets = torch.tensor([0.0, math.log(3)]), torch.tensor([1.0, 0.0])
    assert float(loss(scores, targets, POINTWISE)) == pytest.approx(1.5 * LN2)
    assert float(ranking_loss(scores, targets)) == pytest.approx(2 * LN2)
    assert float(loss(scores, targets, RECIPE)) == pytest.approx(3.5 * LN2)
    assert float(loss(scores, targets, dataclasses.replace(RECIPE, ranking_weight=0.5))) == pytest.approx(2.5 * LN2)


def test_a_soft_target_is_met_best_by_its_own_logit() -> None:
    target = torch.tensor([0.2])
    at = {score: float(loss(torch.tensor([score]), target, RECIPE)) for score in (-3.0, math.log(0.2 / 0.8), 0.0)}
    assert min(at, key=lambda score: at[score]) == math.log(0.2 / 0.8)
    assert at[0.0] == pytest.approx(LN2)


def test_only_pairs_with_different_signals_count_and_each_once() -> None:
    # Two zeros below one positive: the mean of ln(1 + e^(s_j - s_i)) over two pairs.
    scores, targets = torch.tensor([0.0, 0.0, math.log(7)]), torch.tensor([0.5, 0.0, 0.0])
    assert float(ranking_loss(scores, targets)) == pytest.approx((LN2 + 3 * LN2) / 2)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=12), signals)
def test_equal_signals_have_no_order_to_learn(scores: list[float], signal: float) -> None:
    leaves = torch.tensor(scores, requires_grad=True)
    value = ranking_loss(leaves, torch.full((len(scores),), signal))
    value.backward()
    assert value.item() == 0
    assert leaves.grad is not None
    assert leaves.grad.abs().sum().item() == 0


@given(batches, st.floats(-10, 10))
def test_order_does_not_depend_on_a_constant(batch: list[tuple[float, float]], shift: float) -> None:
    scores, targets = tensors(batch)
    assert float(ranking_loss(scores + shift, targets)) == pytest.approx(
        float(ranking_loss(scores, targets)), rel=1e-4, abs=1e-4
    )


@given(batches, st.randoms(use_true_random=False))
def test_the_order_within_a_batch_does_not_matter(batch: list[tuple[float, float]], random: object) -> None:
    shuffled = list(batch)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert float(loss(*tensors(shuffled), RECIPE)) == pytest.approx(float(loss(*tensors(batch), RECIPE)), rel=1e-5)


@given(batches)
def test_a_step_against_the_gradient_lowers_the_loss(batch: list[tuple[float, float]]) -> None:
    scores, targets = tensors(batch)
    scores = scores.double().requires_grad_()
    before = loss(scores, targets, RECIPE)
    before.backward()
    assert scores.grad is not None
    after = loss(scores.detach() - 0.1 * scores.grad, targets, RECIPE)
    assert after.item() <= before.item() + 1e-6


@given(st.lists(signals, min_size=2, max_size=8), st.floats(0.5, 5), st.floats(1.5, 3))
def test_scores_in_the_right_order_cost_less_the_further_apart_they_are(
    targets: list[float], spread: float, factor: float
) -> None:
    values = torch.tensor(targets)
    near, far = (float(ranking_loss(values * by, values)) for by in (spread, spread * factor))
    right, wrong = (float(ranking_loss(values * by, values)) for by in (spread, -spread))
    assert (far < near < LN2 < wrong and right == near) if len(set(targets)) > 1 else (near, far, wrong) == (0, 0, 0)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([-1e30, -1e4, 0.0, 1e4, 1e30]), signals), min_size=1, max_size=6))
def test_huge_logits_give_no_nan_and_no_infinite_gradient(batch: list[tuple[float, float]]) -> None:
    scores, targets = tensors(batch)
    scores.requires_grad_()
    value = loss(scores, targets, RECIPE)
    value.backward()
    assert scores.grad is not None
    assert math.isfinite(value.item())
    assert bool(scores.grad.isfinite().all())


def test_half_precision_scores_are_compared_in_float32() -> None:
    scores = torch.tensor([1.0, 1.0078125], dtype=torch.bfloat16)
    assert loss(scores, torch.tensor([0.0, 1.0]), RECIPE).dtype == torch.float32


def test_a_nan_is_not_hidden() -> None:
    assert loss(torch.tensor([float("nan"), 0.0]), torch.tensor([0.0, 1.0]), RECIPE).isnan()
