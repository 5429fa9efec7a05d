"""A ranking set: everything that a winning adapter needs to rank a repository as it is now, frozen, without a clone.

A refit trains on the latest window: the functions alive at T_train' = as_of - W, with the credit of (T_train', as_of],
where W is the length of the winning run's window. It trains on all of them and holds nothing out, so nothing is
evaluated. Then it ranks the functions of the head. Their process metrics serve the blend and the reasons shown to
readers; prompts are made of `train` and `head`, which have no field for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.finetuning.pair_set import TrainingSet
from pipeline.finetuning.prompts import Prompted, cache_blobs, code_of, prompted_of
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.ranking.rank import subjects_at_head
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob, measure_functions
from pipeline.records import DAY_S, FunctionHistory, Windows
from pipeline.screening.density import signals_of


@dataclass(frozen=True, eq=False, kw_only=True)
class RankingSet(TrainingSet):
    """Functions to train on as of T_train', with signals from (T_train', as_of], and the functions to rank.

    `train_start` is `as_of` if there is nothing to train on. Raises ValueError unless there is one signal per training
    function and `subjects` are the functions of `head`.
    """

    head: tuple[Prompted, ...]
    # The same functions with lines and process metrics: for readers of the ranking, never for a model.
    subjects: tuple[Subject, ...]

    def __post_init__(self) -> None:
        if len(self.signals) != len(self.train):
            raise ValueError("there is not one signal per function to train on")
        if [_known(function) for function in self.head] != [_known(subject) for subject in self.subjects]:
            raise ValueError("the subjects are not the functions of the head")

    def canonical(self) -> Iterator[object]:
        """Yield everything; signals and process metrics as floats, in the fewest digits that tell them apart."""
        header = ("repo", "head_sha", "train_start", "as_of", "label_recipe_id", "config_hash")
        yield {name: getattr(self, name) for name in header} | {"train": len(self.train), "head": len(self.head)}
        for prompted, signal in zip(self.train, self.signals.tolist(), strict=True):
            yield [dataclasses.astuple(prompted), signal]
        for prompted, subject in zip(self.head, self.subjects, strict=True):
            place = (subject.ordinal, subject.start_line, subject.end_line, subject.blob)
            yield [dataclasses.astuple(prompted), place, _process_metrics(subject)]


def build_ranking_set(
    miner: Miner,
    recipe: LabelRecipe,
    read: ReadBlob,
    *,
    window_s: int,
    config_hash: str = "",
    as_of: int | None = None,
    seen_at: int | None = None,
) -> RankingSet:
    """Build the ranking set of a repository as of `as_of` (seconds since 1970; now if None).

    `window_s` is the length of the winning run's window (`WinningRun.window_s`); 0 leaves nothing to train on, which is
    all that ranking with a retrained adapter needs. `seen_at` is when the head was first seen: the window does
    not end later. Raises AssayError if the repository has no commit that old; whatever `read` raises passes through.
    """
    content = cache_blobs(read)
    subjects = subjects_at_head(miner, read, as_of=as_of, seen_at=seen_at)
    mined = miner.mine(_latest_window(miner, window_s, seen_at))
    train = mined.train if window_s else ()
    return RankingSet(
        repo=mined.repo.encode("utf-8", "backslashreplace").decode(),
        head_sha=mined.head_sha,
        train_start=mined.windows.train_start,
        as_of=mined.windows.as_of,
        label_recipe_id=recipe.id,
        config_hash=config_hash,
        train=_at_snapshot(train, read, content, recipe.miner_version),
        signals=signals_of(train, recipe) if train else np.zeros(0),
        head=tuple(prompted_of(subject, content) for subject in subjects),
        subjects=subjects,
    )


def _latest_window(miner: Miner, window_s: int, seen_at: int | None) -> Windows:
    """Return the window up to now, with an empty horizon."""
    first, last = miner.history.effective_at[0], miner.history.effective_at[-1]
    as_of = min(last, miner.first_seen(seen_at))
    return Windows(
        train_start=as_of - window_s,
        eval_start=as_of,
        as_of=as_of,
        window_days=window_s / DAY_S,
        horizon_days=0.0,
        history_days=max(0, as_of - first) / DAY_S,
        too_little_history=False,
        shortened=False,
    )


def _at_snapshot(
    functions: Sequence[FunctionHistory], read: ReadBlob, content: ReadBlob, version: int
) -> tuple[Prompted, ...]:
    """Return functions at a snapshot as a prompt may know them, without their history."""
    return tuple(
        Prompted(f.path, f.qualified_name, f.language, metrics, code_of(content(f.blob), f.start_line, f.end_line))
        for f, metrics in zip(functions, measure_functions(functions, read, version), strict=True)
    )


def _process_metrics(subject: Subject) -> list[float | None]:
    return [None if value is None else float(value) for value in dataclasses.astuple(subject.process)]


def _known(function: Prompted | Subject) -> tuple[object, ...]:
    return function.path, function.qualified_name, function.language, function.metrics
