from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.training.embeddings import EmbeddingScorer, FrozenEmbeddings
from pipeline.finetuning.training.model import Ranker, load_ranker
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError
from tests.builders.tiny_model import tiny_decoder, tiny_encoder
from tests.pipeline.ranking.subjects import subject

pytestmark = pytest.mark.finetune

MARK = 42


@pytest.fixture(scope="module", params=[tiny_decoder, tiny_encoder])
def ranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    model = BaseModel(str(request.param(tmp_path_factory.mktemp("model"))))
    return load_ranker(FinetuneRecipe(base_model=model), device="cpu", seed=1)


def prompts(count: int, seed: int) -> tuple[list[list[int]], np.ndarray]:
    """Return random tokens and the share of them, from none to half, that are MARK."""
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


def test_a_trained_adapter_does_not_affect_embeddings(ranker: Ranker) -> None:
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


CODE = b"".join(
    b"def f%d(x):\n    return %s\n" % (i, b"[v for v in x if v]" if i % 2 else b"open(x).read() + x") for i in range(60)
)


def read(blob: str) -> bytes:
    return CODE


def functions() -> list[Subject]:
    return [replace(subject("a.py", "f", lines=2), start_line=1 + 2 * i, end_line=2 + 2 * i) for i in range(60)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return BaseModel(str(tiny_encoder(tmp_path_factory.mktemp("model"))))


def scored(model: BaseModel, known: Sequence[Subject], signals: list[float]) -> np.ndarray:
    scorer = EmbeddingScorer(model, read, "cpu")
    scorer.fit(known, np.array(signals))
    return scorer.predict(functions())


def test_functions_that_look_like_fixed_ones_rank_first(model: BaseModel) -> None:
    scores = scored(model, functions()[:40], [float(i % 2) for i in range(40)])
    assert scores[41::2].min() > scores[40::2].max()


def test_the_history_of_a_function_does_not_affect_its_score(model: BaseModel) -> None:
    signals = [float(i % 2) for i in range(40)]
    busy = replace(subject("a.py", "f", lines=2, touches=9, fixes=4, credit=2.0), start_line=1, end_line=2)
    assert (
        scored(model, functions()[:40], signals).tolist() == scored(model, [busy, *functions()[1:40]], signals).tolist()
    )


def test_without_signals_all_scores_are_equal(model: BaseModel) -> None:
    assert set(scored(model, functions()[:40], [0.0] * 40)) == {0.0}
    assert len(EmbeddingScorer(model, read, "cpu").predict([])) == 0


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="--base-model"):
        EmbeddingScorer(BaseModel(str(tmp_path / "none")), read, "cpu")
