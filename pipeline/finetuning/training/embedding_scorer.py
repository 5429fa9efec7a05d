"""What a base model knows untrained, as a scorer: `assay evaluate --base-model` asks it like any other ranking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pipeline.finetuning.comparison import FROZEN
from pipeline.finetuning.prompts import prompted_of, render_prompt
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.tokenizer import longest_prompt, tokenize
from pipeline.finetuning.training.base_model_files import load_tokenizer
from pipeline.finetuning.training.embeddings import FrozenEmbeddings
from pipeline.finetuning.training.model import load_ranker
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob

_BLOBS_AT_HAND = 4


class EmbeddingScorer:
    """Frozen embeddings + ridge regression. Raises AssayError where the model cannot be had."""

    name = FROZEN

    def __init__(self, model: BaseModel, read: ReadBlob, device: str) -> None:
        """`read` gives the content of a blob and must work for as long as the scorer is used."""
        recipe = FinetuneRecipe(base_model=model).fitted_to(device)
        self._read = lru_cache(_BLOBS_AT_HAND)(read)
        self._tokenizer = load_tokenizer(model)
        ranker = load_ranker(recipe, device=device, seed=recipe.seeds[0], tokenizer=self._tokenizer)
        self._most = longest_prompt(recipe, ranker.most_tokens, self._tokenizer.model_max_length)
        self._ridge = FrozenEmbeddings(ranker, micro_batch_tokens=recipe.micro_batch_tokens, device=device)

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """A ridge regression on the states of the functions."""
        self._ridge.fit(self._sequences(functions), signals)

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """Expected signals; equal ones where nothing was learned."""
        return self._ridge.predict(self._sequences(functions)) if functions else np.zeros(0)

    def _sequences(self, functions: Sequence[Subject]) -> Sequence[Sequence[int]]:
        prompts = [render_prompt(prompted_of(function, self._read)) for function in functions]
        return tokenize(self._tokenizer, prompts, self._most)
