"""Adapters of a finished job as a scorer: what `assay rank` and `assay evaluate` ask like any other ranking.

The base model is the one of the recipe that was saved, the prompts are made as in training, and the score is the rank
average over the adapters. Ranks are among the functions that are asked about together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.torch import load as load_tensors

from pipeline.finetuning.adapter import MANIFEST, LoadedAdapter, load_adapter
from pipeline.finetuning.job_folder import adapter_folder
from pipeline.finetuning.prompts import Prompted, prompted_of
from pipeline.finetuning.training.loaded import load
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject
from pipeline.ranking.statistics import rank_average
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError

_PREFIX = adapter_folder(0)[:-1]
_BLOBS_AT_HAND = 4


class AdapterScorer:
    """A scorer that has learned already. Raises AssayError for a folder without adapters, or with unequal ones."""

    def __init__(self, name: str, folder: Path, read: ReadBlob, device: str) -> None:
        """`folder` is that of a job (all of its seeds count) or one adapter's; `read` gives the content of a blob."""
        self.name = name
        self._read = lru_cache(_BLOBS_AT_HAND)(read)
        self._device = device
        self.adapters = load_adapters(folder)

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Nothing to learn: that was done."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """Scores in (0, 1], higher where more risk is expected. Raises AssayError where the base model is missing."""
        return self.score([prompted_of(subject, self._read) for subject in functions])

    def score(self, functions: Sequence[Prompted]) -> Floats:
        """As `predict`, of functions that are at hand already."""
        if not functions:
            return np.zeros(0)
        recipe = self.adapters[0].recipe.fitted_to(self._device)
        loaded = load(recipe, functions, (), self._device)
        scores = []
        for adapter in self.adapters:
            loaded.ranker.load_trainable(load_tensors(adapter.tensors))
            scores.append(
                score(
                    loaded.ranker,
                    loaded.train,
                    micro_batch_tokens=recipe.micro_batch_tokens,
                    device=self._device,
                )
            )
        return rank_average(scores)


def load_adapters(folder: Path) -> tuple[LoadedAdapter, ...]:
    """The adapters of a job by seed, or the one that `folder` is; each is checked against its manifest.

    Raises AssayError where there is none, or where they are not of one job.
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
    found = sorted(name for name in os.listdir(folder) if name.startswith(_PREFIX))
    if not found:
        raise AssayError(f"{folder} holds no adapter: name the --out of `assay finetune`, once that is done")
    return [folder / name for name in found]
