from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.training.embeddings import FrozenEmbeddings
from pipeline.finetuning.training.model import Ranker, load_ranker
from tests.builders.tiny_model import tiny_decoder, tiny_encoder

pytestmark = pytest.mark.finetune

MARK = 42


@pytest.fixture(scope="module", params=[tiny_decoder, tiny_encoder])
def ranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    model = BaseModel(str(request.param(tmp_path_factory.mktemp("model"))))
    return load_ranker(FinetuneRecipe(base_model=model), device="cpu", seed=1)


def prompts(count: int, seed: int) -> tuple[list[list[int]], np.ndarray]:
    """Random tokens, and how many of them, from none to half, are MARK."""
    random = np.random.default_rng(seed)
    sequences, signals = [], random.integers(0, 6, count) / 10
    for signal in signals:
        ids = random.integers(50, 300, random.integers(15, 30))
        ids[random.random(len(ids)) < signal] = MARK
        sequences.append(ids.tolist())
    return sequences, signals


def frozen(ranker: Ranker) -> FrozenEmbeddings:
    return FrozenEmbeddings(ranker, micro_batch_tokens=2_048, device="cpu")


def test_a_signal_in_the_text_is_found_without_training_the_model(ranker: Ranker) -> None:
    sequences, signals = prompts(160, seed=1)
    held_out, labels = prompts(80, seed=2)
    scorer = frozen(ranker)
    scorer.fit(sequences, signals)
    assert spearmanr(scorer.predict(held_out), labels).statistic > 0.7


def test_an_adapter_that_was_trained_changes_nothing(ranker: Ranker) -> None:
    sequences, signals = prompts(30, seed=3)
    scorer = frozen(ranker)
    scorer.fit(sequences, signals)
    before = scorer.predict(sequences)
    with torch.no_grad():
        for parameter in ranker.trainable().values():
            parameter.add_(0.1)
    np.testing.assert_array_equal(scorer.predict(sequences), before)
    ranker.reset(1)


@pytest.mark.parametrize(("count", "signal"), [(19, None), (30, 0.0), (30, 0.5), (0, None)])
def test_with_too_little_to_learn_from_all_scores_are_equal(ranker: Ranker, count: int, signal: float | None) -> None:
    sequences, signals = prompts(count, seed=4)
    scorer = frozen(ranker)
    scorer.fit(sequences, signals if signal is None else np.full(count, signal))
    assert scorer.predict(prompts(5, seed=5)[0]).tolist() == [0.0] * 5


def test_nothing_to_predict_gives_nothing(ranker: Ranker) -> None:
    scorer = frozen(ranker)
    scorer.fit(*prompts(25, seed=6))
    assert scorer.predict([]).tolist() == []
