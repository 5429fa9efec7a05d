"""How good each ranking of a repository's functions and files is: every scorer on one holdout, each with its interval.

An evaluation is always an answer: where it is none to rely on, `reasons` say why and what would be needed. A scorer
that gives no ranking says so in its own row, and the others stand.
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
from pipeline.records import Mined, Windows

BASELINE = Baseline.name


@dataclass(frozen=True, eq=False)
class Row:
    """One scorer."""

    name: str
    quality: Quality
    against_baseline: Comparison | None  # none for the baseline itself
    scores: Floats  # in the order of the table's labels


@dataclass(frozen=True, eq=False)
class Table:
    """All scorers on the same functions, or files. The baseline comes first."""

    n: int
    positives: int
    prevalence: float
    rho_max: float | None
    rows: tuple[Row, ...]
    labels: Floats  # credit in (T_eval, as_of] of each function or file
    lines: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `assay evaluate` knows when it is done."""

    mined: Mined
    learned_from: int  # functions that fitted scorers learned from
    functions: Table  # held out
    files: Table  # all files at T_eval
    reasons: tuple[str, ...]  # why it is inconclusive; empty where it is not

    @property
    def conclusive(self) -> bool:
        return not self.reasons


def evaluate(dataset: Dataset, recipe: LabelRecipe, scorers: Sequence[Scorer] | None = None) -> Evaluation:
    """Fit each scorer on the functions of training and judge it by the held-out ones.

    `scorers` are compared with the baseline, which is always there; by default they are the competitors. At file level
    nothing is held out: all files at T_eval are ranked, and only time parts what was learned from what is asked.
    """
    rivals = competitors() if scorers is None else scorers
    scores = predictions(dataset, (Baseline(), *rivals))
    chosen = dataset.held_out
    functions = _table(
        {name: values[chosen] for name, values in scores.items()},
        dataset.labels[chosen],
        [dataset.evaluated[i].path for i in chosen],
        [dataset.evaluated[i].metrics.lines for i in chosen],
    )
    return Evaluation(
        mined=dataset.mined,
        learned_from=len(dataset.learned_from),
        functions=functions,
        files=_file_table(files_of(dataset.evaluated), scores, dataset.labels),
        reasons=tuple(_hindrances(dataset.mined.windows, functions, recipe)),
    )


def predictions(dataset: Dataset, scorers: Sequence[Scorer]) -> dict[str, Floats]:
    """The scores of all functions at T_eval by the name of the scorer, each fitted on the functions of training.

    Raises ValueError where two scorers have one name, or one gives another number of scores.
    """
    chosen = dataset.learned_from
    learned_from, signals = [dataset.train[i] for i in chosen], dataset.train_signals[chosen]
    scores: dict[str, Floats] = {}
    for scorer in scorers:
        if scorer.name in scores:
            raise ValueError(f"two scorers are called {scorer.name!r}")
        scorer.fit(learned_from, signals)
        scores[scorer.name] = np.asarray(scorer.predict(dataset.evaluated), dtype=np.float64)
        if scores[scorer.name].shape != (len(dataset.evaluated),):
            raise ValueError(f"{scorer.name} gave {scores[scorer.name].shape} scores, not {len(dataset.evaluated)}")
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


def _hindrances(windows: Windows, functions: Table, recipe: LabelRecipe) -> list[str]:
    """Why the table of functions answers nothing yet, and what would be needed."""
    found = []
    if windows.too_little_history:
        found.append(
            f"{windows.history_days:,.0f} days of history give a training window of {windows.window_days:.0f} days: "
            f"{recipe.shortest_training_days} are needed"
        )
    if functions.n < MIN_HELD_OUT:
        found.append(
            f"{functions.n:,} held-out functions: at least {MIN_HELD_OUT} are needed, "
            f"some {math.ceil(MIN_HELD_OUT / HOLDOUT_SHARE)} functions in all"
        )
    if functions.positives < MIN_HELD_OUT_POSITIVES:
        found.append(
            f"{functions.positives:,} of the held-out functions were fixed in the {windows.horizon_days:.0f} days that "
            f"were looked at: at least {MIN_HELD_OUT_POSITIVES} are needed; messages that name what they fix "
            "(`fix: ...`) are what is counted"
        )
    if functions.rows[0].quality.rho is None:
        found.append(f"{BASELINE}: {functions.rows[0].quality.reason}")
    return found
