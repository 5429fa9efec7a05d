"""Scores of the functions of the head by adapters that are trained already: what a push asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from safetensors.torch import load as load_tensors

from pipeline.finetuning.adapter import LoadedAdapter, read_adapter
from pipeline.finetuning.artifact_store import Store
from pipeline.finetuning.job_folder import adapter_folder
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.training.loaded import load
from pipeline.finetuning.training.loop import Stopped, never
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.statistics import rank_average
from pipeline.records import AssayError


def score_head(
    ranking: RankingSet,
    adapters: Store,
    expected: Mapping[int, Mapping[str, str]],
    *,
    device: str,
    stop: Callable[[], str | None] = never,
) -> Floats:
    """The rank average (n,) over the adapters of a training once more, in the order of `ranking.head`.

    `adapters` holds the folders of that job; `expected` are the SHA-256 of their files by seed (`RefitRecord.hashes`).
    `stop` is asked between batches; its answer raises Stopped. Raises AssayError for a file that is not the recorded
    one, adapters of another label recipe, or a base model that is missing.
    """
    loaded_adapters = tuple(_checked(adapters, expected, ranking.label_recipe_id))
    recipe = loaded_adapters[0].recipe.fitted_to(device)
    loaded = load(recipe, (), ranking.head, device)

    def ask(done: int) -> None:
        reason = stop()
        if reason:
            raise Stopped(reason)

    scores = []
    for adapter in loaded_adapters:
        loaded.ranker.load_trainable(load_tensors(adapter.tensors))
        scores.append(
            score(
                loaded.ranker,
                loaded.holdout,
                micro_batch_tokens=recipe.micro_batch_tokens,
                device=device,
                watch=ask,
            )
        )
    return average_of(scores)


def average_of(scores: Sequence[Floats]) -> Floats:
    """The rank average over the seeds. Raises AssayError where a score is no number: ranks would mean nothing."""
    lost = int((~np.isfinite(scores)).any(axis=0).sum())
    if lost:
        raise AssayError(
            f"the adapter has no score for {lost:,} of {len(scores[0]):,} functions: rank by the baseline, or train "
            "the adapter once more"
        )
    return rank_average(scores)


def _checked(
    adapters: Store, expected: Mapping[int, Mapping[str, str]], label_recipe_id: str
) -> Iterator[LoadedAdapter]:
    if not expected:
        raise AssayError(f"{adapters.where}: no adapter is recorded there: rank by the baseline")
    for seed, hashes in sorted(expected.items()):
        folder = adapter_folder(seed)
        files = {name: adapters.read(f"{folder}/{name}") for name in hashes}
        adapter = read_adapter(files, hashes, f"{adapters.where}/{folder}")
        if adapter.provenance.label_recipe_id != label_recipe_id:
            raise AssayError(
                f"{adapters.where}/{folder} learned labels of recipe {adapter.provenance.label_recipe_id}, and the "
                f"repository is measured by {label_recipe_id}: only another run tells whether an adapter wins there"
            )
        yield adapter
