"""Build the training and evaluation data of a repository.

    1. place the windows and mine the credit in both                       screening.windows, mining.miner
    2. match the functions of the two snapshots by lineage                 mining.snapshot
    3. measure the structure of each and find near-clones                  structure_metrics, near_clones
    4. read process metrics up to each snapshot                            mining.process_metrics
    5. split by groups                                                     holdout

A subject carries only what was known at its snapshot. Labels are kept separately, those of training and of the holdout
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.holdout import Member, Place, split
from pipeline.ranking.near_clones import near_clones
from pipeline.ranking.scorer import Subject, subject_of
from pipeline.ranking.structure_metrics import Examined, ReadBlob, examine_functions
from pipeline.records import FunctionHistory, Mined
from pipeline.screening.density import signals_of
from pipeline.screening.windows import fit_windows


@dataclass(frozen=True, eq=False)
class Dataset:
    """A repository's functions at both snapshots; arrays and places are in the order of the functions."""

    mined: Mined
    train: tuple[Subject, ...]  # alive at T_train
    train_signals: Floats  # from (T_train, T_eval]
    train_places: tuple[Place, ...]
    evaluated: tuple[Subject, ...]  # alive at T_eval
    labels: Floats  # credit in (T_eval, as_of]
    evaluated_places: tuple[Place, ...]
    lineages: tuple[int | None, ...]  # for each evaluated function its index in `train`, or None if born later

    @property
    def learned_from(self) -> list[int]:
        """Indices into `train` of the functions in the training split."""
        return [i for i, place in enumerate(self.train_places) if place.side == "train"]

    @property
    def held_out(self) -> list[int]:
        """Indices into `evaluated` of the functions in the holdout split."""
        return [i for i, place in enumerate(self.evaluated_places) if place.side == "holdout"]


def build_dataset(
    miner: Miner, recipe: LabelRecipe, read: ReadBlob, *, as_of: int | None = None, seen_at: int | None = None
) -> Dataset:
    """Build the dataset of a repository as of `as_of` (Unix seconds; the present if None).

    No window ends after `seen_at`, the time the head was first seen, if known. Raises AssayError if the repository has
    no commit that old; exceptions from `read` propagate.
    """
    if as_of is not None:
        miner.cut(as_of)
    times = miner.history.effective_at
    windows = fit_windows(times[0], min(times[-1], miner.first_seen(seen_at)), recipe, miner.count_alive)
    mined = miner.mine(windows)
    train_at, eval_at = miner.positions(windows)
    lineages = miner.join(train_at, eval_at)
    examined = examine_functions([*mined.train, *mined.holdout], read, recipe.miner_version)
    places = split(_members(mined, lineages, examined))
    at_train, at_eval = len(mined.train), len(mined.train) + len(mined.holdout)
    pasts = (*miner.process_metrics(train_at, windows.train_start), *miner.process_metrics(eval_at, windows.eval_start))
    subjects = [
        subject_of(function, e.metrics, process)
        for function, e, process in zip((*mined.train, *mined.holdout), examined, pasts, strict=True)
    ]
    return Dataset(
        mined=mined,
        train=tuple(subjects[:at_train]),
        train_signals=signals_of(mined.train, recipe),
        train_places=tuple(places[:at_train]),
        evaluated=tuple(subjects[at_train:at_eval]),
        labels=np.array([function.credit for function in mined.holdout], dtype=np.float64),
        evaluated_places=tuple(places[at_train:at_eval]),
        lineages=lineages,
    )


def _members(mined: Mined, lineages: Sequence[int | None], examined: Sequence[Examined]) -> list[Member]:
    clones = near_clones([e.tokens for e in examined])
    train = len(mined.train)
    numbers = [*range(train), *lineages]
    return [
        Member(
            snapshot="train" if at < train else "holdout",
            id=_id(function),
            lines=examined[at].metrics.lines,
            credit=function.credit if at < train else None,
            lineage=numbers[at],
            clones=clones[at],
        )
        for at, function in enumerate((*mined.train, *mined.holdout))
    ]


def _id(function: FunctionHistory) -> str:
    return f"{function.path}\0{function.qualified_name}\0{function.ordinal}"
