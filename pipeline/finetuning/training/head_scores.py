"""Score the functions of the head with the adapters of a refit, as every push needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pipeline.finetuning.adapter import LoadedAdapter, read_adapter
from pipeline.finetuning.artifact_store import Store
from pipeline.finetuning.job_folder import adapter_folder
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.result import Hashes
from pipeline.finetuning.training.adapter_scorer import score_by_each
from pipeline.finetuning.training.loop import never, raise_if_stopped
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.statistics import rank_average
from pipeline.records import AssayError


def score_head(
    ranking: RankingSet,
    adapters: Store,
    expected: Mapping[int, Hashes],
    *,
    device: str,
    stop: Callable[[], str | None] = never,
) -> Floats:
    """Return the rank average (n,) over the adapters of a refit, in the order of `ranking.head`.

    `adapters` holds the folders of that job, `expected` the SHA-256 of their files by seed (`RefitRecord.hashes`).
    `stop` is polled between batches; a reason raises Stopped. Raises AssayError for a file that is not the recorded
    one, adapters of another label recipe, and a missing base model.
    """
    loaded = tuple(_checked(adapters, expected, ranking.label_recipe_id))
    return average_of(score_by_each(loaded, ranking.head, device, lambda done: raise_if_stopped(stop)))


def average_of(scores: Sequence[Floats]) -> Floats:
    """Return the rank average over the seeds. Raises AssayError for scores that are not finite: they have no rank."""
    lost = int((~np.isfinite(scores)).any(axis=0).sum())
    if lost:
        raise AssayError(
            f"the adapter has no score for {lost:,} of {len(scores[0]):,} functions: rank by the baseline, or retrain"
        )
    return rank_average(scores)


def _checked(adapters: Store, expected: Mapping[int, Hashes], label_recipe_id: str) -> Iterator[LoadedAdapter]:
    if not expected:
        raise AssayError(f"{adapters.where}: no adapter is recorded there: rank by the baseline")
    for seed, hashes in sorted(expected.items()):
        folder = adapter_folder(seed)
        files = {name: adapters.read(f"{folder}/{name}") for name in hashes}
        adapter = read_adapter(files, hashes, f"{adapters.where}/{folder}")
        if adapter.provenance.label_recipe_id != label_recipe_id:
            raise AssayError(
                f"{adapters.where}/{folder} learned labels of recipe {adapter.provenance.label_recipe_id}, but the "
                f"repository is measured by {label_recipe_id}: only another run tells whether an adapter wins there"
            )
        yield adapter
