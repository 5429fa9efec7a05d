"""The figures by which the baseline was chosen, on the tune set alone: `python -m bench.choose_baseline DIR`.

    1. gather each history of the tune set at its pinned head; leave out those that are not conclusive
    2. ρ of every single number of a function, over all functions alive at T_eval
    3. ρ of every candidate sum; the mean over histories decides
    4. leave each history out in turn, choose on the others, and look at the one left out: what choosing itself gains

DIR holds the clones as bench.rankings wants them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from bench.histories import load_histories
from bench.rankings import gathered
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.ranking.baseline import TERMS, recency, youth
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import Signal
from pipeline.ranking.dataset import Dataset

NUMBERS = (
    Signal("lines", lambda s: s.metrics.lines),
    Signal("complexity", lambda s: s.metrics.cyclomatic_complexity or 0),
    Signal("nesting", lambda s: s.metrics.nesting_depth or 0),
    Signal("fan-out", lambda s: s.metrics.fan_out or 0),
    Signal("exits", lambda s: s.metrics.exits or 0),
    Signal("parameters", lambda s: s.metrics.parameters or 0),
    Signal("touches", lambda s: s.process.touches),
    Signal("decayed touches", lambda s: s.process.decayed_touches),
    Signal("recency", recency),
    Signal("youth", youth),
    Signal("authors", lambda s: s.process.authors),
    Signal("fixes", lambda s: s.process.fixes),
    Signal("credit", lambda s: s.process.credit),
    Signal("file touches", lambda s: s.process.file_touches),
    Signal("file decayed touches", lambda s: s.process.file_decayed_touches),
    Signal("file authors", lambda s: s.process.file_authors),
    Signal("file fixes", lambda s: s.process.file_fixes),
)
WEIGHTS = {
    "lines": (1, 2, 3),
    "complexity": (0, 1),
    "fan-out": (1, 2),
    "recency": (0, 3),
    "decayed touches": (0, 1),
    "fixes": (0, 1, 2),
    "youth": (0, 2),
    "file fixes": (0, 1),
}
Weights = Mapping[str, int]


def candidates() -> Iterator[Weights]:
    """Every combination of the weights above, without what has none."""
    for chosen in itertools.product(*WEIGHTS.values()):
        yield {name: weight for name, weight in zip(WEIGHTS, chosen, strict=True) if weight}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.choose_baseline", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("clones", type=Path, metavar="DIR", help="clones of the histories, as DIR/OWNER/NAME")
    parser.add_argument("--data-dir", type=Path, required=True, help="where facts of mining are remembered")
    asked = parser.parse_args()
    tune = [history for history in load_histories() if history.set == "tune"]
    materials = [m for m in (gathered(history, asked.clones, asked.data_dir) for history in tune) if conclusive(m)]
    columns = [{number.name: np.log1p(number.predict(m.evaluated)) for number in NUMBERS} for m in materials]
    labels = [m.labels for m in materials]
    for number in NUMBERS:
        show(number.name, rhos({number.name: 1}, columns, labels))
    found = {str(weights): rhos(weights, columns, labels) for weights in candidates()}
    best = sorted(found, key=lambda name: -found[name].mean())
    for name in best[:15]:
        show(name, found[name])
    print(f"{len(found)} sums; the best of the others on the one left out: {left_out(found):.4f}")
    print("the baseline:", ", ".join(f"{term.weight:g} × {term.name}" for term in TERMS))
    return 0


def conclusive(dataset: Dataset) -> bool:
    """Whether the held-out functions would answer anything."""
    held = dataset.labels[dataset.held_out]
    return len(held) >= MIN_HELD_OUT and int((held > 0).sum()) >= MIN_HELD_OUT_POSITIVES


def rhos(weights: Weights, columns: Sequence[Mapping[str, Floats]], labels: Sequence[Floats]) -> Floats:
    """ρ of one sum, one a history."""
    sums = [sum((w * column[name] for name, w in weights.items()), np.zeros(1)) for column in columns]
    return np.array([centred(total) @ centred(label) for total, label in zip(sums, labels, strict=True)])


def centred(values: Floats) -> Floats:
    """Average ranks less their mean, of length one: their products are ρ."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    length = float(np.sqrt(ranks @ ranks))
    return np.asarray(ranks / length if length else ranks)


def left_out(found: Mapping[str, Floats]) -> float:
    """The mean ρ of what would have been chosen without a history, on that history."""
    histories = range(len(next(iter(found.values()))))
    chosen = []
    for history in histories:
        others = [h for h in histories if h != history]
        chosen.append(max(found.values(), key=lambda rho: float(rho[others].mean()))[history])
    return float(np.mean(chosen))


def show(name: str, rho: Floats) -> None:
    print(f"{rho.mean():.4f}  {' '.join(f'{r:.2f}' for r in rho)}  {name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
