"""Synthetic evaluations for tests: scores and labels are given, the rest follows.

evaluation()                                  conclusive, over 240 functions in 40 files
evaluation(functions=table({"baseline": [3, 2, 1]}, [1, 0, 0]))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.ranking.evaluate import Evaluation, Row, Table
from pipeline.ranking.statistics import assess, ceiling, compare
from tests.builders import screenings


def table(
    scores: Mapping[str, Sequence[float]],
    labels: Sequence[float],
    lines: Sequence[int] | None = None,
    files: Sequence[str] | None = None,
) -> Table:
    """Evaluate scorers on the same functions, the first as the baseline; by default each function has its own file."""
    n, credit = len(labels), np.array(labels, dtype=np.float64)
    sizes = tuple(lines if lines is not None else [10] * n)
    qualities = assess(scores, credit, files or [f"f{i}.py" for i in range(n)], sizes, resamples=60)
    first, *_ = scores
    rows = [
        Row(name, quality, None if name == first else compare(quality, qualities[first]), np.array(scores[name], float))
        for name, quality in qualities.items()
    ]
    known = rows[0].quality
    return Table(known.n, known.positives, known.prevalence, ceiling(credit), tuple(rows), credit, sizes)


def functions(n: int = 240) -> Table:
    """Every fifth function was fixed; `size` ranks well, the baseline less so, `nothing` gives no ranking."""
    labels = [float(i % 5 == 0) for i in range(n)]
    wave = [(i * 7919) % 97 / 97 for i in range(n)]
    scores = {
        "baseline": [3 * w + label for w, label in zip(wave, labels, strict=True)],
        "size": [1.5 * w + label for w, label in zip(wave, labels, strict=True)],
        "nothing": [1.0] * n,
    }
    return table(scores, labels, [5 + i % 30 for i in range(n)], [f"f{i % 40}.py" for i in range(n)])


def evaluation(**changes: Any) -> Evaluation:
    usual = Evaluation(
        mined=screenings.mined(),
        learned_from=321,
        functions=functions(),
        files=table({"baseline": [4, 3, 2, 1], "size": [1, 2, 3, 4]}, [2, 0, 1, 0]),
        reasons=(),
    )
    return dataclasses.replace(usual, **changes)
