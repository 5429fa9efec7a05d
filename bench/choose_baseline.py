"""Compute the figures behind the choice of the baseline, on the tune set alone: `python -m bench.choose_baseline DIR`.

    1. load each history of the tune set at its pinned head; leave out inconclusive ones
    2. ρ of every single metric of a function, over all functions alive at T_eval
    3. ρ of every candidate sum; the mean over histories decides
    4. leave-one-out: choose on the other histories and evaluate on the one left out, to measure the selection bias

DIR holds the clones as for bench.rankings.
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
from bench.rankings import load_dataset
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.ranking.baseline import TERMS, recency, youth
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import Signal
from pipeline.ranking.dataset import Dataset

METRICS = (
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
    """Yield every combination of the weights above, omitting terms of weight 0."""
    for combination in itertools.product(*WEIGHTS.values()):
        yield {name: weight for name, weight in zip(WEIGHTS, combination, strict=True) if weight}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.choose_baseline", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("clones", type=Path, metavar="DIR", help="clones of the histories, as DIR/OWNER/NAME")
    parser.add_argument("--data-dir", type=Path, required=True, help="where mining results are cached")
    options = parser.parse_args()
    tune = [history for history in load_histories() if history.set == "tune"]
    loaded = (load_dataset(history, options.clones, options.data_dir) for history in tune)
    datasets = [dataset for dataset in loaded if conclusive(dataset)]
    columns = [{metric.name: np.log1p(metric.predict(d.evaluated)) for metric in METRICS} for d in datasets]
    labels = [dataset.labels for dataset in datasets]
    for metric in METRICS:
        show(metric.name, rhos({metric.name: 1}, columns, labels))
    scored = {str(weights): rhos(weights, columns, labels) for weights in candidates()}
    best = sorted(scored, key=lambda name: -scored[name].mean())
    for name in best[:15]:
        show(name, scored[name])
    print(f"{len(scored)} sums; leave-one-out mean ρ of the best: {leave_one_out(scored):.4f}")
    print("the baseline:", ", ".join(f"{term.weight:g} × {term.name}" for term in TERMS))
    return 0


def conclusive(dataset: Dataset) -> bool:
    """Return whether there are enough held-out functions and positives."""
    held = dataset.labels[dataset.held_out]
    return len(held) >= MIN_HELD_OUT and int((held > 0).sum()) >= MIN_HELD_OUT_POSITIVES


def rhos(weights: Weights, columns: Sequence[Mapping[str, Floats]], labels: Sequence[Floats]) -> Floats:
    """Return ρ of one weighted sum on each history."""
    sums = [sum((w * column[name] for name, w in weights.items()), np.zeros(1)) for column in columns]
    return np.array([centred(total) @ centred(label) for total, label in zip(sums, labels, strict=True)])


def centred(values: Floats) -> Floats:
    """Return centred average ranks of unit length, whose dot products are Spearman's ρ."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    length = float(np.sqrt(ranks @ ranks))
    return np.asarray(ranks / length if length else ranks)


def leave_one_out(scored: Mapping[str, Floats]) -> float:
    """Return the mean ρ on each history of the sum chosen on the other histories."""
    histories = range(len(next(iter(scored.values()))))
    chosen = []
    for history in histories:
        others = [h for h in histories if h != history]
        chosen.append(max(scored.values(), key=lambda rho: float(rho[others].mean()))[history])
    return float(np.mean(chosen))


def show(name: str, rho: Floats) -> None:
    print(f"{rho.mean():.4f}  {' '.join(f'{r:.2f}' for r in rho)}  {name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
