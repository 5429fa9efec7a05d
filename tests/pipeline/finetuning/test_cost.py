from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.cost import ModelSize, Rate, estimate, peak_of, rate_of
from pipeline.finetuning.recipe import FinetuneRecipe

SIZE = ModelSize(parameters=1_000)
WITH_ATTENTION = ModelSize(parameters=1_000, layers=2, hidden=8)
RECIPE = FinetuneRecipe(epochs=3, seeds=(1, 2), validations=4)


def test_a_forward_pass_costs_2n_per_token_and_training_4n() -> None:
    assert SIZE.forward_flops([3, 7]) == 20_000
    assert SIZE.training_flops([3, 7]) == 40_000
    assert SIZE.training_flops([3, 7], checkpointing=True) == 60_000


def test_attention_grows_with_the_square_of_the_length() -> None:
    # 4 * 2 layers * 8 wide * (9 + 49) = 3,712 forward, twice that on the way back
    assert WITH_ATTENTION.forward_flops([3, 7]) == 20_000 + 3_712
    assert WITH_ATTENTION.training_flops([3, 7]) == 40_000 + 3 * 3_712
    assert WITH_ATTENTION.training_flops([3, 7], checkpointing=True) == 60_000 + 4 * 3_712


def test_the_cost_of_a_job_worked_out_by_hand() -> None:
    # training: 10 tokens, 3 epochs, 2 fits, 2 seeds; scoring: 4 validations of 10 and one holdout of 5 a seed, and
    # 10 + 5 for the frozen embeddings
    estimated = estimate([3, 7], [5], RECIPE, SIZE, Rate(1_000.0, "by hand"))
    assert estimated.trained_tokens == 10 * 3 * 2 * 2
    assert estimated.scored_tokens == 2 * 4 * 10 + 2 * 5 + 15
    assert estimated.flops == 4_000 * 120 + 2_000 * 105
    assert estimated.minutes == pytest.approx(690_000 / 1_000 / 60)


def test_validation_on_fewer_functions_and_no_embeddings_cost_less() -> None:
    estimated = estimate([3, 7], [5], RECIPE, SIZE, None, validated_lengths=[3], embedded=False)
    assert (estimated.scored_tokens, estimated.minutes) == (2 * 4 * 3 + 2 * 5, None)


@given(st.lists(st.integers(1, 2_000), max_size=20), st.lists(st.integers(1, 2_000), max_size=20), st.integers(1, 5))
def test_every_seed_costs_the_same(train: list[int], holdout: list[int], seeds: int) -> None:
    one = estimate(train, holdout, dataclasses.replace(RECIPE, seeds=(1,)), WITH_ATTENTION, None, embedded=False)
    recipe = dataclasses.replace(RECIPE, seeds=tuple(range(seeds)))
    many = estimate(train, holdout, recipe, WITH_ATTENTION, None, embedded=False)
    assert many.flops == pytest.approx(seeds * one.flops)
    assert (many.trained_tokens, many.scored_tokens) == (seeds * one.trained_tokens, seeds * one.scored_tokens)


def test_a_device_is_recognised_by_its_driver_s_name() -> None:
    cases: list[tuple[str, float | None]] = [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla T4", 65e12),
        ("NVIDIA GeForce GTX 4090", None),
        ("cpu", None),
        ("", None),
    ]
    wrong = [(device, got, peak) for device, peak in cases if (got := peak_of(device)) != peak]
    assert wrong == []


def test_a_measured_rate_takes_precedence_over_an_assumed_one() -> None:
    assert rate_of("NVIDIA H200", 4e14) == Rate(4e14, "measured on this device")
    assumed = rate_of("NVIDIA H200")
    assert assumed is not None
    assert assumed.flops_per_s == pytest.approx(0.3 * 989e12)
    assert assumed.source == "30% of the peak of NVIDIA H200"
    assert rate_of("cpu") is None
    assert rate_of("cpu", 5e10) == Rate(5e10, "measured on this device")


def test_a_1_5b_model_trains_at_about_54_000_tokens_per_second_on_an_h200_at_30_percent() -> None:
    size, rate = ModelSize(parameters=1_310_000_000), rate_of("NVIDIA H200")
    estimated = estimate(
        [1_000] * 100, [], dataclasses.replace(RECIPE, seeds=(1,)), size, rate, validated_lengths=[], embedded=False
    )
    assert estimated.minutes is not None
    assert estimated.trained_tokens / (60 * estimated.minutes) == pytest.approx(56_600, rel=0.01)
