from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.training.heads import DigitsHead, LogitHead, initial

pytestmark = pytest.mark.finetune

DIGITS = torch.arange(10, dtype=torch.float64)


def digits_of(logits: list[float]) -> float:
    """What the head makes of a state of width 1 whose digits have these logits."""
    head = DigitsHead(torch.tensor(logits).unsqueeze(1))
    return float(head(torch.ones(1, 1)))


def test_one_linear_layer_of_the_state_in_float32() -> None:
    head = LogitHead(2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, -2.0]]))
        head.bias.fill_(0.5)
    logits = head(torch.tensor([[3.0, 1.0], [0.0, 0.0]], dtype=torch.bfloat16))
    assert (logits.tolist(), logits.dtype) == ([1.5, 0.5], torch.float32)


def test_the_head_stays_in_float32_inside_autocast() -> None:
    head = LogitHead(1)
    torch.nn.init.ones_(head.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.tensor([[1.0001]])).tolist() == pytest.approx([1.0001], abs=1e-7)


def test_equally_likely_digits_give_one_half() -> None:
    assert digits_of([0.0] * 10) == pytest.approx(0, abs=1e-6)  # 4.5 of 9


def test_two_digits_worked_out_by_hand() -> None:
    # 9 three times as likely as 0, all else impossible: E = 6.75, of 9 three quarters.
    logits = [0.0] + [-200.0] * 8 + [math.log(3)]
    assert digits_of(logits) == pytest.approx(math.log(3), rel=1e-5)


@given(st.lists(st.floats(-8, 8, width=32), min_size=10, max_size=10))
def test_the_logit_is_that_of_the_expected_digit(logits: list[float]) -> None:
    expected = float(torch.softmax(torch.tensor(logits, dtype=torch.float64), 0) @ DIGITS) / 9
    assert digits_of(logits) == pytest.approx(math.log(expected / (1 - expected)), abs=1e-4)


@pytest.mark.parametrize("digit", [0, 9])
def test_an_almost_certain_digit_gives_a_finite_logit_with_a_gradient(digit: int) -> None:
    states = torch.ones(1, 1, requires_grad=True)
    rows = torch.zeros(10, 1)
    rows[digit] = 300
    logit = DigitsHead(rows)(states)
    logit.sum().backward()
    assert math.copysign(1, digit - 4.5) * logit.item() > 100
    assert states.grad is not None
    assert math.isfinite(states.grad.item())


def test_the_bias_of_an_output_embedding_counts() -> None:
    bias = torch.tensor([0.0] * 9 + [5.0])
    with_bias = DigitsHead(torch.zeros(10, 1), bias)(torch.zeros(1, 1))
    assert with_bias.item() == pytest.approx(digits_of(bias.tolist()), rel=1e-5)


def test_the_digits_head_has_no_parameters() -> None:
    head = DigitsHead(torch.zeros(10, 3))
    assert (list(head.parameters()), head.state_dict()) == ([], {})


def test_initial_values_are_zero_or_within_bounds() -> None:
    random = torch.Generator().manual_seed(1)
    a = initial("base_model.model.q_proj.lora_A.weight", torch.Size([16, 100]), random)
    assert 0.09 < float(a.abs().max()) <= 0.1  # 1 over the root of 100
    assert abs(float(a.mean())) < 0.01
    assert not initial("base_model.model.q_proj.lora_B.weight", torch.Size([100, 16]), random).any()
    assert not initial("head.bias", torch.Size([1]), random).any()
    assert float(initial("head.weight", torch.Size([1, 1_000]), random).std()) == pytest.approx(0.001, rel=0.1)
