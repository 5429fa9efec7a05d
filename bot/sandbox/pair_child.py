"""The child's side of a pair task. Kept apart because it imports what no screening needs.

The task pins a commit. The file is built as in a clone cut at that commit, and only if the commit is still on the
default branch: commits that were removed from the history are not trained on, even if their objects are still here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.pair_task import CommitNotOnBranch, PairResult, PairTask, lengths_of
from bot.sandbox.screening_task import ScreeningTask
from pipeline.finetuning.artifact_store import LocalStore
from pipeline.finetuning.pair_file import encode_pairs
from pipeline.finetuning.pair_set import PairSet, build_pair_set
from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.finetuning.ranking_file import encode_ranking_set
from pipeline.finetuning.ranking_set import RankingSet, build_ranking_set
from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.git.repository import Repository
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner, Progress
from pipeline.ranking.dataset import build_dataset
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError
from pipeline.screening.measure import facts_path


class ObjectMissing(AssayError):
    """A required object is missing from the clone."""


def write_pair_file(
    repository: Repository, task: ScreeningTask, pair_task: PairTask, recipe: LabelRecipe, progress: Progress
) -> PairResult:
    """Write the file atomically into the task's folder and describe it. Raises AssayError."""
    store = facts_path(task.folder, repository)
    pinned = _pinned(repository, pair_task.head_sha, recipe, store, progress)
    miner = Miner(pinned, recipe, store, 1, progress, task.overlay, tracked_of(task))
    with miner, repository.reader() as reader:
        read = _blob_reader(reader, recipe)
        if pair_task.kind == "pairs":
            dataset = build_dataset(miner, recipe, read, seen_at=task.seen_at)
            pairs = build_pair_set(miner, dataset, recipe, read, task.overlay.config_hash)
            content, result = encode_pairs(pairs), _describe(pairs, pairs.holdout)
        else:
            ranking = build_ranking_set(
                miner,
                recipe,
                read,
                window_s=pair_task.window_s,
                config_hash=task.overlay.config_hash,
                seen_at=task.seen_at,
            )
            content, result = encode_ranking_set(ranking), _describe(ranking, ranking.head)
    LocalStore(task.folder).write(pair_task.file_name, content)
    return result


def _pinned(repository: Repository, head_sha: str, recipe: LabelRecipe, store: Path, progress: Progress) -> Repository:
    """Return the repository with the pinned commit as its head. Raises CommitNotOnBranch."""
    pinned = bytes.fromhex(head_sha)
    if pinned == repository.head:
        return repository
    with Miner(repository, recipe, store, 1, progress) as miner:
        history = miner.history
        index = history.graph.index.get(pinned)
        if index is None or history.landing[index] < 0:
            raise CommitNotOnBranch(
                f"commit {head_sha[:12]} is not part of the default branch any more: its history was rewritten, or "
                "another branch took its place"
            )
    return dataclasses.replace(repository, head=pinned)


def _blob_reader(reader: ObjectReader, recipe: LabelRecipe) -> ReadBlob:
    def read(blob: str) -> bytes:
        try:
            return reader.blob(bytes.fromhex(blob), recipe.most_file_bytes)
        except ObjectProblem:
            raise ObjectMissing("a file that was mined cannot be read any more") from None

    return read


def _describe(content: PairSet | RankingSet, scored: Iterable[Prompted]) -> PairResult:
    return PairResult(
        id=content.id,
        label_recipe_id=content.label_recipe_id,
        config_hash=content.config_hash,
        train=lengths_of(map(_size_bytes, content.train)),
        positives=int((content.signals > 0).sum()),
        scored=lengths_of(map(_size_bytes, scored)),
    )


def _size_bytes(function: Prompted) -> int:
    return len(render_prompt(function).encode())
