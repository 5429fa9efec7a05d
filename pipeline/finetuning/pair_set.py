"""A pair set: everything that a run reads of a repository, frozen, so that no clone is needed from here on.

Training sees the functions of the train groups as of T_train, with three labels: up to T_eval for the final fit; up to
T_val = T_eval - W/4 for the fit that chooses how long to train; and the rest, by which that choice is validated. The
held-out functions come with their labels and the scores of every cheap ranking.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.finetuning.prompts import Prompted, cache_blobs, prompted_of
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import Dataset
from pipeline.ranking.evaluate import predictions
from pipeline.ranking.scorer import Scorer
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import FunctionHistory, Windows
from pipeline.screening.density import signals_of

VALIDATION_SHARE = 1 / 4  # of the training window: its last part, by which the number of steps is chosen


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingSet(ABC):
    """The part that pair sets and ranking sets share: functions to train on. Times in seconds since 1970."""

    repo: str
    head_sha: str
    train_start: int  # T_train, the snapshot of `train`
    as_of: int
    label_recipe_id: str
    config_hash: str
    train: tuple[Prompted, ...]
    signals: Floats  # (n,) of `train`, float64, in [0, 1]

    @property
    def positives(self) -> int:
        """Return how many functions of `train` have a signal."""
        return int((self.signals > 0).sum())

    @cached_property
    def id(self) -> str:
        """Return the SHA-256 (hexadecimal) of `canonical`, each value as UTF-8 JSON without white space on a line."""
        digest = hashlib.sha256()
        for line in self.canonical():
            digest.update(json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    @abstractmethod
    def canonical(self) -> Iterator[object]:
        """Yield everything that the id covers, as JSON values: a header, then the functions in their order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PairSet(TrainingSet):
    """Training pairs and holdout. Arrays are float64 in the order of their functions.

    Raises ValueError for an array whose length differs from that of its functions.
    """

    eval_start: int  # T_eval: `signals` count (T_train, T_eval]
    early_signals: Floats  # of `train`, from (T_train, T_val]
    late_credits: Floats  # of `train`: credit in (T_val, T_eval], not capped
    holdout: tuple[Prompted, ...]  # as of T_eval
    labels: Floats  # of `holdout`: credit in (T_eval, as_of], not capped
    lines: tuple[int, ...]  # of `holdout`
    scores: Mapping[str, Floats]  # of `holdout`, by scorer; the baseline comes first

    def __post_init__(self) -> None:
        of_train: tuple[Sized, ...] = (self.signals, self.early_signals, self.late_credits)
        of_holdout: tuple[Sized, ...] = (self.labels, self.lines, *self.scores.values())
        if {len(values) for values in of_train} != {len(self.train)}:
            raise ValueError("there is not one training label of each kind per function")
        if {len(values) for values in of_holdout} != {len(self.holdout)}:
            raise ValueError("there is not one label, line count and score of each scorer per held-out function")

    @cached_property
    def scores_digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of the scores, whatever the order of the scorers."""
        written = {name: _hexes(values) for name, values in self.scores.items()}
        return hashlib.sha256(json.dumps(written, separators=(",", ":"), sort_keys=True).encode()).hexdigest()

    def canonical(self) -> Iterator[object]:
        """Yield origin, code and labels; numbers that are not whole as `float.hex` writes them, -0.0 as 0.0.

        The scores are left out: another version of a library may round them differently.
        """
        yield {
            "repo": self.repo,
            "head_sha": self.head_sha,
            "train_start": self.train_start,
            "eval_start": self.eval_start,
            "as_of": self.as_of,
            "label_recipe_id": self.label_recipe_id,
            "config_hash": self.config_hash,
            "train": len(self.train),
            "holdout": len(self.holdout),
        }
        labels = (_hexes(values) for values in (self.signals, self.early_signals, self.late_credits))
        for prompted, *values in zip(self.train, *labels, strict=True):
            yield [_written(prompted), *values]
        for prompted, label, lines in zip(self.holdout, _hexes(self.labels), self.lines, strict=True):
            yield [_written(prompted), label, lines]


def _written(prompted: Prompted) -> list[object]:
    metrics = list(dataclasses.astuple(prompted.metrics))
    return [prompted.path, prompted.qualified_name, prompted.language, metrics, prompted.code]


def _hexes(values: Floats) -> list[str]:
    return ["nan" if math.isnan(value) else (value + 0.0).hex() for value in values.tolist()]


def build_pair_set(
    miner: Miner,
    dataset: Dataset,
    recipe: LabelRecipe,
    read: ReadBlob,
    config_hash: str = "",
    scorers: Sequence[Scorer] | None = None,
) -> PairSet:
    """Build the pair set of a repository from the dataset that the same miner, still open, produced.

    `scorers` are what the adapter will be compared with beside the baseline: the competitors by default.

    A revert that lands in (T_val, T_eval] takes credit back from `signals` and not from `early_signals`: `late_credits`
    is the difference of both windows, at least 0. Whatever `read` raises passes through.
    """
    mined = dataset.mined
    chosen, held_out = dataset.learned_from, dataset.held_out
    early = _early(miner, mined.windows, mined.train)
    credits, early_credits = (np.array([f.credit for f in functions]) for functions in (mined.train, early))
    scores = predictions(dataset, (Baseline(), *(competitors() if scorers is None else scorers)))
    content = cache_blobs(read)
    return PairSet(
        repo=mined.repo.encode("utf-8", "backslashreplace").decode(),
        head_sha=mined.head_sha,
        train_start=mined.windows.train_start,
        eval_start=mined.windows.eval_start,
        as_of=mined.windows.as_of,
        label_recipe_id=recipe.id,
        config_hash=config_hash,
        train=tuple(prompted_of(dataset.train[i], content) for i in chosen),
        signals=dataset.train_signals[chosen],
        early_signals=signals_of(early, recipe)[chosen],
        late_credits=np.maximum(0.0, credits - early_credits)[chosen],
        holdout=tuple(prompted_of(dataset.evaluated[i], content) for i in held_out),
        labels=dataset.labels[held_out],
        lines=tuple(dataset.evaluated[i].metrics.lines for i in held_out),
        scores={name: values[held_out] for name, values in scores.items()},
    )


def validation_start(windows: Windows) -> int:
    """Return T_val: the start of the last quarter of the training window."""
    return windows.eval_start - round(VALIDATION_SHARE * (windows.eval_start - windows.train_start))


def _early(miner: Miner, windows: Windows, train: Sequence[FunctionHistory]) -> tuple[FunctionHistory, ...]:
    """Return the functions as of T_train with their credit up to T_val."""
    early = dataclasses.replace(windows, eval_start=validation_start(windows), as_of=windows.eval_start)
    functions = miner.mine(early).train
    if [_identity(f) for f in functions] != [_identity(f) for f in train]:
        raise ValueError("another miner produced the dataset")
    return functions


def _identity(function: FunctionHistory) -> tuple[str, str, int, str]:
    return function.path, function.qualified_name, function.ordinal, function.blob
