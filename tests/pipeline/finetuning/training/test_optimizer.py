from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.optimizer import Optimizer, learning_rate_factor

pytestmark = pytest.mark.finetune


def test_the_learning_rate_by_hand() -> None:
    # 100 steps, 3 of them warm-up; 97 are left, so half of the cosine is at step 3 + 98 / 2.
    factors = [learning_rate_factor(step, 100, 0.03) for step in (1, 2, 3, 52, 101)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0])


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_learning_rate_rises_to_its_peak_and_falls_but_never_to_zero(planned: int, warmup_share: float) -> None:
    factors = [learning_rate_factor(step, planned, warmup_share) for step in range(1, planned + 1)]
    peak = max(1, math.ceil(warmup_share * planned))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak - 1 :] == sorted(factors[peak - 1 :], reverse=True)
    assert min(factors) > 0
    assert max(factors) <= 1


def optimizer(weights: list[torch.Tensor]) -> Optimizer:
    groups = [{"params": weights[:1], "lr": 1e-2}, {"params": weights[1:], "lr": 1e-1, "weight_decay": 0.0}]
    return Optimizer(groups, FinetuneRecipe(warmup_share=0, max_gradient_norm=5), planned=1_000_000)


def test_each_group_moves_at_its_own_rate() -> None:
    weights = [torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    stepping = optimizer(weights)
    for weight in weights:
        weight.grad = torch.ones(1)
    assert stepping.update(1) == pytest.approx(1e-2)
    assert [weight.item() for weight in weights] == pytest.approx([-1e-2, -1e-1], rel=1e-4)
    assert [weight.grad for weight in weights] == [None, None]


def test_a_long_gradient_is_clipped_and_its_norm_returned() -> None:
    weights = [torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    stepping = optimizer(weights)
    weights[0].grad, weights[1].grad = torch.tensor([30.0]), torch.tensor([40.0])
    assert stepping.clip() == pytest.approx(50)
    assert [weight.grad.item() for weight in weights if weight.grad is not None] == pytest.approx([3, 4])


def test_loaded_moments_continue_as_if_nothing_had_happened() -> None:
    ends = []
    for interrupted in (False, True):
        weights = [torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)]
        stepping = optimizer(weights)
        for step in range(1, 6):
            if interrupted and step == 3:
                moments, stepping = stepping.tensors(), optimizer(weights)
                stepping.load(moments)
            for weight in weights:
                weight.grad = weight.detach() * step
            stepping.update(step)
        ends.append(torch.cat([weight.detach() for weight in weights]))
    assert torch.equal(*ends)
