"""Everything that an adapter which won needs to rank a repository as it is now, frozen: no clone from here on.

It is trained once more on the latest window: the functions alive at T_train' = as_of - W, where W is as long as the
window that it was judged by, with the credit of (T_train', as_of]. All of them: nothing is held out, so nothing is
judged. What it then ranks are the functions of the head. Their past is beside them for the blend and for the reasons
that a reader is given; prompts are made of `train` and `head`, which have no field for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pipeline.finetuning.prompts import Prompted, code_of, prompted_of
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.rank import subjects_at_head
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob, measure_functions
from pipeline.records import DAY_S, FunctionHistory, Windows
from pipeline.screening.density import signals_of

_BLOBS_AT_HAND = 4


@dataclass(frozen=True, eq=False)
class RankingSet:
    """What is learned from and what is ranked. Times in seconds since 1970.

    Raises ValueError where signals are not as many as functions to train on, or subjects are not those of the head.
    """

    repo: str
    head_sha: str
    train_start: int  # T_train'; as_of where there is nothing to train on
    as_of: int
    label_recipe_id: str
    config_hash: str
    train: tuple[Prompted, ...]  # as they were at T_train'
    signals: Floats  # of `train`, float64, in [0, 1], from (T_train', as_of]
    head: tuple[Prompted, ...]
    subjects: tuple[
        Subject, ...
    ]  # the same functions with lines and past: for whoever reads the ranking, never a model

    def __post_init__(self) -> None:
        if len(self.signals) != len(self.train):
            raise ValueError("the signals are not as many as the functions to train on")
        if [_known(function) for function in self.head] != [_known(subject) for subject in self.subjects]:
            raise ValueError("the subjects are not the functions of the head")

    @cached_property
    def id(self) -> str:
        """SHA-256 in hexadecimal of all that is here, in its order.

        It covers UTF-8 lines of JSON without white space, each ended by a line feed: the header, then a line for each
        function to train on, then one for each function of the head. Signals and what is told of a past are written
        as floats, in the fewest digits that tell them apart.
        """
        digest = hashlib.sha256()
        for line in self._canonical():
            digest.update(json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    def _canonical(self) -> Iterator[object]:
        header = ("repo", "head_sha", "train_start", "as_of", "label_recipe_id", "config_hash")
        yield {name: getattr(self, name) for name in header} | {"train": len(self.train), "head": len(self.head)}
        for prompted, signal in zip(self.train, self.signals.tolist(), strict=True):
            yield [dataclasses.astuple(prompted), signal]
        for prompted, subject in zip(self.head, self.subjects, strict=True):
            place = (subject.ordinal, subject.start_line, subject.end_line, subject.blob)
            yield [dataclasses.astuple(prompted), place, _past(subject)]


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
    """The ranking set of a repository as it stood at `as_of` (seconds since 1970; now where None).

    `window_s` is the length of the window that the adapter was judged by (`Judged.window_s`); with 0 there is nothing
    to train on, which is all that a ranking by an adapter that is trained already asks for. `seen_at` is when the head
    was first seen: the window does not end later. Raises AssayError where the repository has no commit that old;
    whatever `read` raises passes through.
    """
    content = lru_cache(_BLOBS_AT_HAND)(read)
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
        train=_as_they_were(train, read, content),
        signals=signals_of(train, recipe) if train else np.zeros(0),
        head=tuple(prompted_of(subject, content) for subject in subjects),
        subjects=subjects,
    )


def _latest_window(miner: Miner, window_s: int, seen_at: int | None) -> Windows:
    """The window up to now, without a horizon: nobody knows yet what will be fixed."""
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


def _as_they_were(functions: Sequence[FunctionHistory], read: ReadBlob, content: ReadBlob) -> tuple[Prompted, ...]:
    """Functions at a snapshot as prompts may know them: nothing of what happened to them."""
    return tuple(
        Prompted(f.path, f.qualified_name, f.language, metrics, code_of(content(f.blob), f.start_line, f.end_line))
        for f, metrics in zip(functions, measure_functions(functions, read), strict=True)
    )


def _past(subject: Subject) -> list[float | None]:
    return [None if value is None else float(value) for value in dataclasses.astuple(subject.process)]


def _known(function: Prompted | Subject) -> tuple[object, ...]:
    return function.path, function.qualified_name, function.language, function.metrics
