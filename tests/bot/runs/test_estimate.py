"""Estimates agree with calculations by hand, and are bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.runs.estimate import (
    MIN_MINUTES,
    MODEL_SIZES,
    REFIT_SHARE,
    Minutes,
    Workload,
    estimate_minutes,
    load_model_size,
    seconds_per_token,
    tokens_of,
)
from pipeline.finetuning.cost import ModelSize, Rate
from pipeline.finetuning.recipe import PRESETS, BaseModel, FinetuneRecipe

# Four prompts of 100 tokens (250 bytes) to train on, two of 200 (500 bytes) held out; two seeds, one epoch, three
# validations of all four.
RECIPE = FinetuneRecipe(epochs=1, seeds=(1, 2), validations=3, max_minutes=600)
TRAIN, SCORED = {250: 4}, {500: 2}
JUDGE = Workload("judge", TRAIN, SCORED)


@pytest.mark.parametrize(
    ("workload", "minutes"),
    [
        # Judged: 2 fits x 2 seeds x 400 tokens = 1,600 trained. Scored: validations 2 x 3 x 400, holdout 3 x 400,
        # embeddings 400: 4,000. Once more: 2 x 800 trained, 2 x 800 scored. 3,200 + 5,600 / 2 = 6,000 tokens at one
        # second each are 100 minutes, with the margin 125.
        (JUDGE, 125.0),
        # 2 x 400 trained, 2 x 400 scored: 1,200 seconds are 20 minutes.
        (replace(JUDGE, purpose="refit"), 25.0),
        # 2 x 400 scored: 400 seconds, 8.34 minutes with the margin, and that rounded up.
        (replace(JUDGE, purpose="score"), 8.4),
    ],
)
def test_minutes_by_earlier_runs(workload: Workload, minutes: float) -> None:
    assert estimate_minutes(workload, RECIPE, seconds_per_token=1.0) == Minutes(minutes, "earlier runs")


def test_minutes_by_the_gpu_worker() -> None:
    """With N parameters and no attention: 4N a trained token, 2N a scored one; 3,200 x 4 + 5,600 x 2 = 24,000 N."""
    found = estimate_minutes(JUDGE, RECIPE, size=ModelSize(1_000), rate=Rate(10_000.0, "measured"))
    assert found == Minutes(50.0, "the GPU worker")


def test_earlier_runs_take_precedence_over_the_device() -> None:
    found = estimate_minutes(JUDGE, RECIPE, seconds_per_token=1.0, size=ModelSize(1_000), rate=Rate(1.0, "measured"))
    assert found.source == "earlier runs"


@pytest.mark.parametrize("known", [{}, {"size": ModelSize(1_000)}, {"rate": Rate(1.0, "measured")}])
def test_without_any_source_the_limit_is_reserved(known: dict[str, Any]) -> None:
    assert estimate_minutes(JUDGE, RECIPE, **known) == Minutes(900.0, "the time limit")
    assert estimate_minutes(replace(JUDGE, purpose="refit"), RECIPE, **known) == Minutes(600.0, "the time limit")


def test_prompts_cost_at_most_the_models_length() -> None:
    assert tokens_of({1: 1, 250: 2, 100_000: 1}, 1_024) == [1_024, 100, 100, 1]


def test_the_validated_functions_are_capped() -> None:
    many, few = ({250: amount} for amount in (3_000, 2_000))
    more_validations = replace(RECIPE, validations=4, max_minutes=10_080)
    fewer = replace(RECIPE, validations=3, max_minutes=10_080)
    extra = [
        estimate_minutes(Workload("judge", train, {}), more_validations, seconds_per_token=0.06).minutes
        - estimate_minutes(Workload("judge", train, {}), fewer, seconds_per_token=0.06).minutes
        for train in (many, few)
    ]
    # One more validation of 2 seeds: 2 x 1,000 x 100 tokens, half a token's time each, 0.001 minutes, the margin.
    assert extra == pytest.approx([125.0, 125.0])


LENGTHS = st.dictionaries(st.integers(0, 1 << 17), st.integers(1, 40), max_size=5)
PURPOSES = st.sampled_from(["judge", "refit", "score"])


@given(
    purpose=PURPOSES,
    train=LENGTHS,
    scored=LENGTHS,
    seconds=st.none() | st.floats(1e-9, 1e3),
    rate=st.none() | st.floats(1.0, 1e15),
    minutes=st.floats(1, 10_080),
    epochs=st.integers(1, 3),
)
def test_an_estimate_is_positive_bounded_and_deterministic(
    purpose: Any, train: Any, scored: Any, seconds: float | None, rate: float | None, minutes: float, epochs: int
) -> None:
    recipe = FinetuneRecipe(max_minutes=minutes, epochs=epochs)
    known: dict[str, Any] = {"seconds_per_token": seconds, "size": ModelSize(10**6, 2, 64)}
    known["rate"] = None if rate is None else Rate(rate, "measured")
    workload = Workload(purpose, train, scored)
    found = estimate_minutes(workload, recipe, **known)
    assert MIN_MINUTES <= found.minutes <= minutes * (1 + REFIT_SHARE) + 0.1
    assert found == estimate_minutes(workload, recipe, **known)


@given(train=LENGTHS, scored=LENGTHS, more=st.integers(1, 1 << 17))
def test_more_to_train_on_never_takes_less_time(train: dict[int, int], scored: dict[int, int], more: int) -> None:
    grown = train | {more: train.get(more, 0) + 1}
    for purpose in ("judge", "refit"):
        before, after = (
            estimate_minutes(Workload(purpose, t, scored), RECIPE, seconds_per_token=0.01).minutes
            for t in (train, grown)
        )
        assert before <= after


def test_the_slowest_earlier_run_sets_the_speed() -> None:
    cases: list[tuple[list[dict[str, Any]], float | None]] = [
        ([], None),
        ([{"tokens": 1_000, "training_seconds": 10.0}, {"tokens": 1_000, "training_seconds": 30.0}], 0.03),
        ([{"tokens": 0, "training_seconds": 10.0}], None),
        ([{"tokens": 10, "training_seconds": 0.0}], None),
        ([{"tokens": None}, {}, {"tokens": True, "training_seconds": 1.0}], None),
        ([{"tokens": 10, "training_seconds": float("nan")}], None),
        ([{"tokens": "10", "training_seconds": 5}], None),
    ]
    wrong = [(results, got, seconds) for results, seconds in cases if (got := seconds_per_token(results)) != seconds]
    assert wrong == []


def test_every_model_that_is_pinned_has_a_size() -> None:
    assert set(MODEL_SIZES) == set(PRESETS)
    assert all(load_model_size(model) == MODEL_SIZES[name] for name, model in PRESETS.items())
    assert load_model_size(BaseModel("acme/tiny", "0" * 40)) is None


def test_the_size_of_a_directory_is_read_from_its_files(tmp_path: Path) -> None:
    model = BaseModel(str(tmp_path))
    assert load_model_size(model) is None
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 3, "hidden_size": 8}')
    assert load_model_size(model) is None
    tensors = {"model.embed_tokens.weight": [1_000, 8], "lm_head.weight": [1_000, 8], "layers.0.q": [8, 8], "norm": [8]}
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in tensors.items()}
    written = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    for part in ("a", "b"):
        (tmp_path / f"{part}.safetensors").write_bytes(len(written).to_bytes(8, "little") + written)
    assert load_model_size(model) == ModelSize(2 * 72, layers=3, hidden=8)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x02" + bytes(7) + b"[]", b"\x0d" + bytes(7) + b'{"a": {"b":1}}']
)
def test_malformed_weights_have_no_size(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 3, "hidden_size": 8}')
    (tmp_path / "model.safetensors").write_bytes(content)
    assert load_model_size(BaseModel(str(tmp_path))) is None
