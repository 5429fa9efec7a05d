"""Rank correlation and AUC of many scorers over the same resamples of whole files. Numpy only, no re-sorting.

A resample that draws files with replacement is a vector of weights: how often each function was drawn. With the values
presorted once, the average ranks of a resample are cumulative sums of weights, so a thousand resamples are a few passes
over one matrix. Clusters are drawn as in Field and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST_WEIGHTS_AT_ONCE = 1_000_000  # 8 MB a matrix, of which some ten live at once


class Presorted:
    """Values sorted once, with their groups of ties."""

    def __init__(self, values: Floats) -> None:
        self.order: Integers = np.argsort(values, kind="stable")
        ascending = values[self.order]
        begins = np.ones(len(values), dtype=np.bool_)
        begins[1:] = ascending[1:] != ascending[:-1]
        self.starts: Integers = np.flatnonzero(begins)
        self.group: Integers = np.empty(len(values), dtype=np.int64)
        self.group[self.order] = np.cumsum(begins) - 1

    def centred_ranks(self, weights: Floats) -> tuple[Floats, Floats]:
        """Average ranks less their mean, and their sum of squares, where column i counts weights[:, i] times.

        `weights` is (resamples, functions); so are the ranks, in the order of the values. Ranks of columns of weight
        zero are where they would be inserted.
        """
        of_group = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        middle = np.cumsum(of_group, axis=1)
        middle -= (of_group - 1) / 2
        middle -= (weights.sum(axis=1, keepdims=True) + 1) / 2
        squares: Floats = np.einsum("ij,ij,ij->i", of_group, middle, middle)
        ranks: Floats = np.take(middle, self.group, axis=1)
        return ranks, squares


class Resampled(NamedTuple):
    """One row a scorer, one column a resample; NaN where a resample has nothing to compare."""

    rho: Floats
    auc: Floats


def correlate(scores: Sequence[Floats], labels: Floats, weights: Floats) -> Resampled:
    """Spearman's ρ and the AUC (label > 0, ties half) of each scorer under each row of weights."""
    label_ranks, label_squares = Presorted(labels).centred_ranks(weights)
    weighted_labels = weights * label_ranks
    positive = labels > 0
    weighted_positives = weights[:, positive]
    positives = weighted_positives.sum(axis=1)
    negatives = weights.sum(axis=1) - positives
    rho, auc = np.empty((2, len(scores), len(weights)))
    for row, values in enumerate(scores):
        ranks, squares = Presorted(values).centred_ranks(weights)
        rho[row] = _ratio(np.einsum("ij,ij->i", weighted_labels, ranks), np.sqrt(squares * label_squares))
        # The sum of centred ranks over the positives is positives * negatives * (AUC - 1/2).
        above = np.einsum("ij,ij->i", weighted_positives, ranks[:, positive])
        auc[row] = 0.5 + _ratio(above, positives * negatives)
    return Resampled(np.clip(rho, -1, 1), auc)


def _ratio(over: Floats, under: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    ratio: Floats = np.full(len(over), np.nan)
    np.divide(over, under, out=ratio, where=under > 0)
    return ratio


def resample(
    scores: Sequence[Floats], labels: Floats, clusters: Sequence[str], *, resamples: int, seed: int
) -> Resampled:
    """`correlate` over seeded resamples of whole clusters; every scorer meets the same ones, so differences pair."""
    parts = [correlate(scores, labels, weights) for weights in cluster_weights(clusters, resamples, seed)]
    return Resampled(np.concatenate([p.rho for p in parts], axis=1), np.concatenate([p.auc for p in parts], axis=1))


def cluster_weights(clusters: Sequence[str], resamples: int, seed: int) -> Iterator[Floats]:
    """How often each member of a cluster was drawn, (resamples, members), in chunks that bound memory.

    Clusters are numbered in the order of their names, so that the order of the members does not matter.
    """
    names, member = np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)
    random = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, _MOST_WEIGHTS_AT_ONCE // len(clusters))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(0, len(names), size=(rows, len(names)))
        drawn += len(names) * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * len(names)).reshape(rows, len(names))
        yield np.take(counts.astype(np.float64), member, axis=1)
