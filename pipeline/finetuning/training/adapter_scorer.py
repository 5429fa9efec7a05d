"""The adapters of a finished job as a scorer, for `assay rank` and `assay evaluate`.

The base model is the one of the saved recipe, prompts are made as in training, and the score is the rank average over
the adapters, among the functions that are scored together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load as load_tensors

from pipeline.finetuning.adapter import MANIFEST, LoadedAdapter, load_adapter
from pipeline.finetuning.job_folder import ADAPTER_PREFIX
from pipeline.finetuning.prompts import Prompted, cache_blobs, prompted_of
from pipeline.finetuning.training.load_model import load_model
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject
from pipeline.ranking.statistics import rank_average
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError


class AdapterScorer:
    """A scorer that is trained already. Raises AssayError for a folder without adapters, or with unrelated ones."""

    def __init__(self, name: str, folder: Path, read: ReadBlob, device: str) -> None:
        """`folder` is that of a job (all seeds count) or of one adapter; `read` returns the content of a blob."""
        self.name = name
        self._read = cache_blobs(read)
        self._device = device
        self.adapters = load_adapters(folder)

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Do nothing."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """Return scores (n,) in (0, 1], higher is riskier. Raises AssayError if the base model is missing."""
        return self.score([prompted_of(subject, self._read) for subject in functions])

    def score(self, functions: Sequence[Prompted]) -> Floats:
        """Score functions whose code is at hand; otherwise like `predict`."""
        return rank_average(score_by_each(self.adapters, functions, self._device)) if functions else np.zeros(0)


def score_by_each(
    adapters: Sequence[LoadedAdapter],
    functions: Sequence[Prompted],
    device: str,
    watch: Callable[[int], None] | None = None,
) -> list[Floats]:
    """Return the scores (n,) of each adapter. `watch` is called after each batch and may raise to stop."""
    recipe = adapters[0].recipe.fitted_to(device)
    loaded = load_model(recipe, (), functions, device)
    scores = []
    for adapter in adapters:
        loaded.ranker.load_trainable(load_tensors(adapter.tensors))
        scores.append(
            score(
                loaded.ranker,
                loaded.scored,
                micro_batch_tokens=recipe.micro_batch_tokens,
                device=device,
                watch=watch,
            )
        )
    return scores


def load_adapters(folder: Path) -> tuple[LoadedAdapter, ...]:
    """Load the adapters of a job by seed, or the one in `folder`; each is checked against its manifest.

    Raises AssayError if there are none, or if they come from different jobs.
    """
    adapters = sorted(map(load_adapter, _folders(folder)), key=lambda adapter: adapter.provenance.seed)
    origins = {
        (adapter.recipe.recipe_id(a.label_recipe_id), a.pair_set_id, a.repo)
        for adapter in adapters
        for a in (adapter.provenance,)
    }
    if len(origins) != 1:
        raise AssayError(f"{folder} holds adapters of {len(origins)} jobs: name the folder of one")
    return tuple(adapters)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise AssayError(f"there is no folder {folder}: name the --out of `assay finetune`")
    if (folder / MANIFEST).is_file():
        return [folder]
    names = sorted(name for name in os.listdir(folder) if name.startswith(ADAPTER_PREFIX))
    if not names:
        raise AssayError(f"{folder} holds no adapter: name the --out of a finished `assay finetune`")
    return [folder / name for name in names]
