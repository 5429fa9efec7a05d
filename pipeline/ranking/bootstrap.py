"""Rank correlation and AUC of several scorers over shared bootstrap resamples of whole files.

A resample is a vector of weights: how often each function was drawn. With the values presorted, the average ranks of a
resample are cumulative sums of weights, so a thousand resamples take a few passes over one matrix and no re-sorting.
Clusters are drawn as in Field and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MAX_WEIGHTS_PER_CHUNK = 1_000_000  # 8 MB per matrix, about ten of which are alive at a time


class Presorted:
    """Values sorted once, with their tie groups."""

    def __init__(self, values: Floats) -> None:
        self.order: Integers = np.argsort(values, kind="stable")
        ascending = values[self.order]
        begins = np.ones(len(values), dtype=np.bool_)
        begins[1:] = ascending[1:] != ascending[:-1]
        self.starts: Integers = np.flatnonzero(begins)
        self.group: Integers = np.empty(len(values), dtype=np.int64)
        self.group[self.order] = np.cumsum(begins) - 1

    def centred_ranks(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return centred average ranks and their weighted sums of squares under each row of weights.

        `weights` and the ranks have shape (resamples, functions), in the order of the values; the sums have shape
        (resamples,). A value of weight zero gets the rank at which it would be inserted.
        """
        of_group = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        middle = np.cumsum(of_group, axis=1)
        middle -= (of_group - 1) / 2
        middle -= (weights.sum(axis=1, keepdims=True) + 1) / 2
        squares: Floats = np.einsum("ij,ij,ij->i", of_group, middle, middle)
        ranks: Floats = np.take(middle, self.group, axis=1)
        return ranks, squares


class Resampled(NamedTuple):
    """Arrays of shape (scorers, resamples); NaN where a resample is constant."""

    rho: Floats
    auc: Floats


def correlate(scores: Sequence[Floats], labels: Floats, weights: Floats) -> Resampled:
    """Return Spearman's ρ and the AUC (label > 0, ties count half) of each scorer under each row of weights."""
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


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    ratio: Floats = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio


def resample(
    scores: Sequence[Floats], labels: Floats, clusters: Sequence[str], *, resamples: int, seed: int
) -> Resampled:
    """Correlate over seeded resamples of whole clusters, shared by all scorers so that differences are paired."""
    parts = [correlate(scores, labels, weights) for weights in cluster_weights(clusters, resamples, seed)]
    return Resampled(np.concatenate([p.rho for p in parts], axis=1), np.concatenate([p.auc for p in parts], axis=1))


def cluster_weights(clusters: Sequence[str], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each member was drawn, shape (resamples, members), in chunks that bound memory.

    Clusters are numbered by name, so the result does not depend on the order of the members.
    """
    names, member = np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)
    random = np.random.Generator(np.random.PCG64(seed))
    chunk = max(1, _MAX_WEIGHTS_PER_CHUNK // len(clusters))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = random.integers(0, len(names), size=(rows, len(names)))
        drawn += len(names) * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * len(names)).reshape(rows, len(names))
        yield np.take(counts.astype(np.float64), member, axis=1)
