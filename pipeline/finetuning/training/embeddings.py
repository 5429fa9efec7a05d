"""Rankings by an untrained base model: ridge regression on its frozen states. Fine-tuning has to beat them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.finetuning.comparison import FROZEN
from pipeline.finetuning.prompts import cache_blobs, prompted_of, render_prompt
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.tokenizer import longest_prompt, tokenize
from pipeline.finetuning.training.base_model_files import load_tokenizer
from pipeline.finetuning.training.model import Ranker, load_ranker
from pipeline.finetuning.training.score import embed
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob

_PENALTIES = np.logspace(0, 6, 13)  # on standardised states; leave-one-out chooses
_MIN_ROWS = 20


class FrozenEmbeddings:
    """Ridge regression (scikit-learn's) on the standardised mean states of the untouched base model."""

    def __init__(
        self, ranker: Ranker, *, micro_batch_tokens: int, device: str, watch: Callable[[int], None] | None = None
    ) -> None:
        """`watch` receives the number of sequences done, and may raise to stop."""
        self._ranker = ranker
        self._watch = watch
        self._micro_batch_tokens = micro_batch_tokens
        self._device = device
        self._model: Pipeline | None = None

    def fit(self, sequences: Sequence[Sequence[int]], signals: Floats) -> None:
        """Fit prompts (token ids) to signals (n,). With too few, or equal signals, nothing is learned."""
        self._model = None
        if len(sequences) >= _MIN_ROWS and np.ptp(signals) > 0:
            model = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
            self._model = model.fit(self._embed(sequences), signals)

    def predict(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Return expected signals (n,), equal ones if nothing was learned. They may lie outside [0, 1]."""
        if self._model is None or not sequences:
            return np.zeros(len(sequences))
        return np.asarray(self._model.predict(self._embed(sequences)), dtype=np.float64)

    def _embed(self, sequences: Sequence[Sequence[int]]) -> Floats:
        return embed(
            self._ranker,
            sequences,
            micro_batch_tokens=self._micro_batch_tokens,
            device=self._device,
            watch=self._watch,
        )


class EmbeddingScorer:
    """FrozenEmbeddings as a scorer, for `assay evaluate --base-model`."""

    name = FROZEN

    def __init__(self, model: BaseModel, read: ReadBlob, device: str) -> None:
        """`read` returns the content of a blob and must work as long as the scorer is used.

        Raises AssayError if the model cannot be loaded.
        """
        recipe = FinetuneRecipe(base_model=model).fitted_to(device)
        self._read = cache_blobs(read)
        self._tokenizer = load_tokenizer(model)
        ranker = load_ranker(recipe, device=device, seed=recipe.seeds[0], tokenizer=self._tokenizer)
        self._max_tokens = longest_prompt(recipe, ranker.max_tokens, self._tokenizer.model_max_length)
        self._ridge = FrozenEmbeddings(ranker, micro_batch_tokens=recipe.micro_batch_tokens, device=device)

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        self._ridge.fit(self._sequences(functions), signals)

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """Return expected signals (n,); equal ones if nothing was learned."""
        return self._ridge.predict(self._sequences(functions)) if functions else np.zeros(0)

    def _sequences(self, functions: Sequence[Subject]) -> Sequence[Sequence[int]]:
        prompts = [render_prompt(prompted_of(function, self._read)) for function in functions]
        return tokenize(self._tokenizer, prompts, self._max_tokens)
