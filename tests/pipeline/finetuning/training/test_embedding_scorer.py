"""An untrained model as a scorer: it tells functions apart by what its states say of their code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.finetuning.recipe import BaseModel
from pipeline.finetuning.training.embedding_scorer import EmbeddingScorer
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError
from tests.builders.tiny_model import tiny_encoder
from tests.pipeline.ranking.subjects import subject

pytestmark = pytest.mark.finetune

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


def test_it_ranks_what_looks_like_the_fixed_ones_first(model: BaseModel) -> None:
    scores = scored(model, functions()[:40], [float(i % 2) for i in range(40)])
    assert scores[41::2].min() > scores[40::2].max()


def test_the_past_of_a_function_changes_nothing(model: BaseModel) -> None:
    signals = [float(i % 2) for i in range(40)]
    busy = replace(subject("a.py", "f", lines=2, touches=9, fixes=4, credit=2.0), start_line=1, end_line=2)
    assert (
        scored(model, functions()[:40], signals).tolist() == scored(model, [busy, *functions()[1:40]], signals).tolist()
    )


def test_with_nothing_to_tell_apart_all_are_equal(model: BaseModel) -> None:
    assert set(scored(model, functions()[:40], [0.0] * 40)) == {0.0}
    assert len(EmbeddingScorer(model, read, "cpu").predict([])) == 0


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="--base-model"):
        EmbeddingScorer(BaseModel(str(tmp_path / "none")), read, "cpu")
