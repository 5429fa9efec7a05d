"""The child's side of gathering what a run reads. Imports what only that needs: no child that screens loads it.

The commit is the one that was pinned when the run was asked for. It is seen as in a clone that was cut there, and only
where the branch still leads to it: what was taken out of a history is not learned from, even if it lies here still.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.pair_task import Gathered, Gathering, NotInTheBranch, lengths_of
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


class Unfetched(AssayError):
    """An object that is needed is not in the clone."""


def gather_file(
    repository: Repository, order: ScreeningTask, wanted: Gathering, recipe: LabelRecipe, progress: Progress
) -> Gathered:
    """Write the file beside the clone, whole or not at all, and tell what is in it. Raises AssayError."""
    store = facts_path(order.folder, repository)
    at_the_pin = _pinned(repository, wanted.head_sha, recipe, store, progress)
    miner = Miner(at_the_pin, recipe, store, 1, progress, order.overlay, tracked_of(order))
    with miner, repository.reader() as reader:
        read = _blobs_of(reader, recipe)
        if wanted.kind == "pairs":
            dataset = build_dataset(miner, recipe, read, seen_at=order.seen_at)
            pairs = build_pair_set(miner, dataset, recipe, read, order.overlay.config_hash)
            content, told = encode_pairs(pairs), _told(pairs, pairs.holdout)
        else:
            ranking = build_ranking_set(
                miner,
                recipe,
                read,
                window_s=wanted.window_s,
                config_hash=order.overlay.config_hash,
                seen_at=order.seen_at,
            )
            content, told = encode_ranking_set(ranking), _told(ranking, ranking.head)
    LocalStore(order.folder).write(wanted.file_name, content)
    return told


def _pinned(repository: Repository, head_sha: str, recipe: LabelRecipe, store: Path, progress: Progress) -> Repository:
    """The repository with the pinned commit as its head. Raises NotInTheBranch."""
    pinned = bytes.fromhex(head_sha)
    if pinned == repository.head:
        return repository
    with Miner(repository, recipe, store, 1, progress) as miner:
        history = miner.history
        at = history.graph.index.get(pinned)
        if at is None or history.landing[at] < 0:
            raise NotInTheBranch(
                f"commit {head_sha[:12]} is not part of the default branch any more: its history was rewritten, or "
                "another branch took its place"
            )
    return dataclasses.replace(repository, head=pinned)


def _blobs_of(reader: ObjectReader, recipe: LabelRecipe) -> ReadBlob:
    def read(blob: str) -> bytes:
        try:
            return reader.blob(bytes.fromhex(blob), recipe.most_file_bytes)
        except ObjectProblem:
            raise Unfetched("a file that was mined cannot be read any more") from None

    return read


def _told(made: PairSet | RankingSet, scored: Iterable[Prompted]) -> Gathered:
    return Gathered(
        id=made.id,
        label_recipe_id=made.label_recipe_id,
        config_hash=made.config_hash,
        train=lengths_of(map(_size_bytes, made.train)),
        positives=int((made.signals > 0).sum()),
        scored=lengths_of(map(_size_bytes, scored)),
    )


def _size_bytes(function: Prompted) -> int:
    return len(render_prompt(function).encode())
