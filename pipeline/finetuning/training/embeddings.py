"""What the base model knows without any training: a ridge regression on its states. What fine-tuning has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.score import embed
from pipeline.ranking.bootstrap import Floats

_PENALTIES = np.logspace(0, 6, 13)  # on standardised states; leave-one-out chooses
_FEWEST_ROWS = 20


class FrozenEmbeddings:
    """Ridge regression (scikit-learn's) on the standardised mean states of the untouched base model."""

    def __init__(
        self, ranker: Ranker, *, micro_batch_tokens: int, device: str, watch: Callable[[int], None] | None = None
    ) -> None:
        """`watch` is told how many sequences are done, and may raise to stop."""
        self._ranker = ranker
        self._watch = watch
        self._micro_batch_tokens = micro_batch_tokens
        self._device = device
        self._model: Pipeline | None = None

    def fit(self, sequences: Sequence[Sequence[int]], signals: Floats) -> None:
        """Prompts as token ids, and their signals (N,). With too few, or all alike, it learns nothing: equal scores."""
        self._model = None
        if len(sequences) >= _FEWEST_ROWS and np.ptp(signals) > 0:
            model = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
            self._model = model.fit(self._embed(sequences), signals)

    def predict(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Expected signals (N,) of prompts; they may lie outside [0, 1], only their order is meant."""
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
