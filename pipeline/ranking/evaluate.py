"""Evaluate all scorers on the same holdout of a repository, at function and file level, with intervals.

There is always a result: if it is inconclusive, `reasons` says why and what would be needed. A scorer without a ranking
has the reason in its own row and does not affect the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.label_recipe import HOLDOUT_SHARE, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES, LabelRecipe
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import Dataset
from pipeline.ranking.files import FileSubject, file_labels, file_scores, files_of
from pipeline.ranking.scorer import Scorer
from pipeline.ranking.statistics import Comparison, Quality, assess, ceiling, compare
from pipeline.records import Mined

BASELINE = Baseline.name


@dataclass(frozen=True, eq=False)
class Row:
    """The result of one scorer."""

    name: str
    quality: Quality
    against_baseline: Comparison | None  # None for the baseline itself
    scores: Floats  # in the order of the table's labels


@dataclass(frozen=True, eq=False)
class Table:
    """All scorers on the same functions or files, the baseline first."""

    n: int
    positives: int
    prevalence: float
    rho_max: float | None
    rows: tuple[Row, ...]
    labels: Floats  # credit in (T_eval, as_of] of each function or file
    lines: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The complete result of `assay evaluate`."""

    mined: Mined
    learned_from: int  # number of functions that scorers were fitted on
    functions: Table  # the held-out functions
    files: Table  # all files at T_eval
    reasons: tuple[str, ...]  # why it is inconclusive; empty if conclusive

    @property
    def conclusive(self) -> bool:
        return not self.reasons


def evaluate(dataset: Dataset, recipe: LabelRecipe, scorers: Sequence[Scorer] | None = None) -> Evaluation:
    """Fit each scorer on the training functions and evaluate it on the held-out ones.

    `scorers` (by default the competitors) are compared with the baseline, which is always included. At file level
    nothing is held out: all files at T_eval are ranked, and only time separates training from evaluation.
    """
    others = competitors() if scorers is None else scorers
    scores = predictions(dataset, (Baseline(), *others))
    held_out = dataset.held_out
    functions = _table(
        {name: values[held_out] for name, values in scores.items()},
        dataset.labels[held_out],
        [dataset.evaluated[i].path for i in held_out],
        [dataset.evaluated[i].metrics.lines for i in held_out],
    )
    return Evaluation(
        mined=dataset.mined,
        learned_from=len(dataset.learned_from),
        functions=functions,
        files=_file_table(files_of(dataset.evaluated), scores, dataset.labels),
        reasons=tuple(_why_inconclusive(dataset.mined, functions, recipe)),
    )


def predictions(dataset: Dataset, scorers: Sequence[Scorer]) -> dict[str, Floats]:
    """Fit each scorer on the training functions; return its scores of all functions at T_eval, by scorer name.

    Raises ValueError if two scorers share a name or a scorer returns the wrong number of scores.
    """
    split = dataset.learned_from
    functions, signals = [dataset.train[i] for i in split], dataset.train_signals[split]
    scores: dict[str, Floats] = {}
    for scorer in scorers:
        if scorer.name in scores:
            raise ValueError(f"two scorers are named {scorer.name!r}")
        scorer.fit(functions, signals)
        scores[scorer.name] = np.asarray(scorer.predict(dataset.evaluated), dtype=np.float64)
        if scores[scorer.name].shape != (len(dataset.evaluated),):
            raise ValueError(f"{scorer.name} returned {scores[scorer.name].shape} scores, not {len(dataset.evaluated)}")
    return scores


def _file_table(files: Sequence[FileSubject], scores: Mapping[str, Floats], labels: Floats) -> Table:
    return _table(
        file_scores(files, scores), file_labels(files, labels), [f.path for f in files], [f.lines for f in files]
    )


def _table(scores: Mapping[str, Floats], labels: Floats, paths: Sequence[str], lines: Sequence[int]) -> Table:
    qualities = assess(scores, labels, paths, lines)
    baseline = qualities[BASELINE]
    rows = [
        Row(name, quality, None if name == BASELINE else compare(quality, baseline), scores[name])
        for name, quality in qualities.items()
    ]
    return Table(
        n=baseline.n,
        positives=baseline.positives,
        prevalence=baseline.prevalence,
        rho_max=ceiling(labels),
        rows=tuple(rows),
        labels=labels,
        lines=tuple(lines),
    )


def _why_inconclusive(mined: Mined, functions: Table, recipe: LabelRecipe) -> list[str]:
    """Return why the function table is inconclusive, and what would be needed."""
    if mined.obstacle is not None:
        return [mined.obstacle.sentence]
    windows = mined.windows
    reasons = []
    if windows.too_little_history:
        reasons.append(
            f"{windows.history_days:,.0f} days of history leave a training window of {windows.window_days:.0f} days: "
            f"{recipe.shortest_training_days} are needed"
        )
    if functions.n < MIN_HELD_OUT:
        reasons.append(
            f"{functions.n:,} held-out functions: at least {MIN_HELD_OUT} are needed, "
            f"about {math.ceil(MIN_HELD_OUT / HOLDOUT_SHARE)} functions in all"
        )
    if functions.positives < MIN_HELD_OUT_POSITIVES:
        reasons.append(
            f"{functions.positives:,} of the held-out functions were fixed in the {windows.horizon_days:.0f} days of "
            f"the horizon: at least {MIN_HELD_OUT_POSITIVES} are needed; only commits whose message names a fix "
            "(`fix: ...`) count"
        )
    if functions.rows[0].quality.rho is None:
        reasons.append(f"{BASELINE}: {functions.rows[0].quality.reason}")
    return reasons
