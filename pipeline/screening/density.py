"""Mean defect signal density and its interval (docs/development/design.md, "Density"). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.label_recipe import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED, LabelRecipe
from pipeline.records import Curve, Density, FunctionHistory
from pipeline.screening.signal import Floats, scale_of, signals

_MAX_DRAWS_PER_CHUNK = 2_000_000  # bounds each chunk to 16 MB


def signals_of(pairs: Sequence[FunctionHistory], recipe: LabelRecipe, curve: Curve | None = None) -> Floats:
    """Return the signal of each pair, shape (len(pairs),)."""
    credits = np.array([p.credit for p in pairs], dtype=np.float64)
    touches = np.array([p.touches for p in pairs], dtype=np.int64)
    return signals(credits, touches, curve or recipe.curve, recipe.scale_top)


def measure_density(
    pairs: Sequence[FunctionHistory],
    fix_files: frozenset[str],
    recipe: LabelRecipe,
    curve: Curve | None = None,
) -> Density | None:
    """Return the mean signal over all pairs, or None if there are no pairs.

    `file_positive_share` is the share of pairs in a file that a credited fix changed, that is, the share that would be
    positive under file-level labels. Its excess over `positive_share` is the inflation of file-level labels.
    """
    if not pairs:
        return None
    curve = curve or recipe.curve
    values = signals_of(pairs, recipe, curve)
    low, high = clustered_interval(values, [p.path for p in pairs])
    positives = int(np.count_nonzero(values))
    return Density(
        value=math.fsum(values) / len(pairs),
        low=low,
        high=high,
        pairs=len(pairs),
        positives=positives,
        positive_share=positives / len(pairs),
        file_positive_share=sum(p.path in fix_files for p in pairs) / len(pairs),
        scale=scale_of(np.array([p.credit for p in pairs], dtype=np.float64), recipe.scale_top),
        curve=curve,
    )


def clustered_interval(values: Floats, clusters: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean under a seeded bootstrap of whole clusters (files).

    Clusters are drawn with replacement and the mean is taken over all members drawn, whose number varies (Field and
    Welsh, "Bootstrapping clustered data", JRSS B 69, 2007).
    """
    indices = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    cluster = np.array([indices[name] for name in clusters], dtype=np.int64)
    sums: Floats = np.bincount(cluster, weights=values, minlength=len(indices)).astype(np.float64)
    sizes = np.bincount(cluster, minlength=len(indices)).astype(np.float64)
    means = _resampled_means(sums, sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _resampled_means(sums: Floats, sizes: Floats) -> Floats:
    random = np.random.Generator(np.random.PCG64(BOOTSTRAP_SEED))
    count = len(sums)
    chunk = max(1, _MAX_DRAWS_PER_CHUNK // count)
    means: list[NDArray[np.float64]] = []
    for start in range(0, BOOTSTRAP_RESAMPLES, chunk):
        draws = random.integers(0, count, size=(min(chunk, BOOTSTRAP_RESAMPLES - start), count), dtype=np.int32)
        means.append(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    return np.concatenate(means)
