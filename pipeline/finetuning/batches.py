"""Plan which functions make up each optimizer step, and into which micro-batches they are cut.

Few functions have a signal, so steps oversample them: every positive (target > 0) once per epoch, with as many
negatives as keep the share of positives at its minimum or above. The negatives are redrawn for each epoch, the least
drawn first, so that over the epochs as many as possible are seen. If positives are frequent enough, or too frequent,
every function is used once per epoch, except for a few that rounding leaves to the next.

Padding is wasted work, so functions of similar length are batched. The positives of a step are neighbours in length and
so are its negatives, but which positives meet which negatives is random: the ranking loss compares functions of all
lengths. A batch that still pads more than a tenth is cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

MAX_PADDING = 0.1  # of the tokens of a micro-batch

# Random jitter of lengths before functions are sorted by them (standard deviation of the logarithm): neighbours differ
# from epoch to epoch, and padding hardly grows.
_JITTER = 0.05

Members = tuple[int, ...]  # of a step or a micro-batch: positions in the training set
Ints = NDArray[np.int64]


def plan_steps(
    lengths: Sequence[int], targets: ArrayLike, recipe: FinetuneRecipe, seed: int, *, steps: int | None = None
) -> tuple[Members, ...]:
    """Return the members of every step of all epochs, at most `recipe.batch_size` each. Deterministic.

    `lengths` (n,) in tokens, `targets` (n,) in [0, 1]. With `steps`, exactly that many: epochs are added if the recipe
    has too few. Raises AssayError if there is nothing to learn from.
    """
    epochs = _epochs(np.asarray(lengths, dtype=np.float64), np.asarray(targets, dtype=np.float64), recipe, seed)
    planned: list[Members] = []
    epoch = 0
    while epoch < recipe.epochs if steps is None else len(planned) < steps:
        planned += next(epochs)
        epoch += 1
    return tuple(planned[:steps])


def _epochs(
    lengths: NDArray[np.float64], targets: NDArray[np.float64], recipe: FinetuneRecipe, seed: int
) -> Iterator[list[Members]]:
    positives, negatives = np.flatnonzero(targets > 0), np.flatnonzero(targets <= 0)
    if not len(lengths) or (recipe.least_positives > 0 and not len(positives)):
        raise AssayError("too few pairs: no function of the training window has a signal to learn from")
    drawn = np.zeros(len(lengths), dtype=np.int64)
    epoch = 0
    while True:
        random = np.random.default_rng((seed, epoch))
        sizes = _batch_sizes(len(positives), len(negatives), recipe)
        wanted = sum(size for _, size in sizes)
        # Least drawn first, ties in random order.
        chosen = negatives[np.lexsort((random.random(len(negatives)), drawn[negatives]))[:wanted]]
        drawn[chosen] += 1
        parts = (
            _runs(positives, [size for size, _ in sizes], lengths, random),
            _runs(chosen, [size for _, size in sizes], lengths, random),
        )
        yield [(*some, *others) for some, others in zip(*parts, strict=True)]
        epoch += 1


def _batch_sizes(positives: int, negatives: int, recipe: FinetuneRecipe) -> list[tuple[int, int]]:
    """Return the number of positives and negatives of each step of an epoch: all positives, spread evenly."""
    least, most = recipe.least_positives, recipe.batch_size
    used = min(negatives, _max_negatives(positives, least)) if least else negatives
    steps = max(1, -(-(positives + used) // most))
    if least:
        steps = min(steps, positives)  # a step without a positive has nothing to compare
    sizes = []
    for step in range(steps):
        some = _share(positives, steps, step)
        others = _share(used, steps, steps - 1 - step)  # the larger part of one beside the smaller part of the other
        limit = min(others, most - some)
        sizes.append((some, min(limit, _max_negatives(some, least)) if least else limit))
    return sizes


def _max_negatives(positives: int, min_share: float) -> int:
    """Return how many negatives keep the share of positives at `min_share` or above."""
    return int(positives * (1 - min_share) / min_share + 1e-9)


def _share(whole: int, parts: int, part: int) -> int:
    return whole // parts + (part < whole % parts)


def _runs(members: Ints, sizes: list[int], lengths: NDArray[np.float64], random: np.random.Generator) -> list[Members]:
    """Cut the members into runs of neighbours in length, of these sizes, in random order."""
    jittered = np.log(np.maximum(lengths[members], 1)) + random.normal(0, _JITTER, len(members))
    ordered = members[np.argsort(jittered, kind="stable")]
    # Sizes differ by one or two: which run is longer is random as well.
    dealt = random.permutation(len(sizes))
    ends = np.cumsum([sizes[step] for step in dealt])
    runs: list[Members] = [()] * len(sizes)
    for step, end in zip(dealt, ends, strict=True):
        runs[step] = tuple(ordered[end - sizes[step] : end].tolist())
    return runs


def micro_batches(members: Members, lengths: Sequence[int], max_tokens: int) -> tuple[Members, ...]:
    """Cut the members of a step into pieces of at most `max_tokens` with padding, a tenth of them padding.

    A function longer than `max_tokens` gets a piece of its own. Every member is in one piece; shortest first.
    """
    pending = [sorted(members, key=lambda member: (lengths[member], member))]
    pieces = []
    while pending:
        piece = pending.pop()
        left = _cut([lengths[member] for member in piece], max_tokens)
        if left:
            pending += (piece[left:], piece[:left])
        else:
            pieces.append(tuple(piece))
    return tuple(pieces)


def _cut(ordered: list[int], max_tokens: int) -> int:
    """Return where to cut ascending lengths in two; 0 if they fit in one piece."""
    count, padded = len(ordered), len(ordered) * ordered[-1]
    if count == 1:
        return 0
    if padded - sum(ordered) > MAX_PADDING * padded:  # where the fewest tokens remain
        lengths, sizes = np.asarray(ordered), np.arange(1, count)
        return int(np.argmin(sizes * lengths[:-1] + (count - sizes) * lengths[-1])) + 1
    return count // 2 if padded > max_tokens else 0


def padded_tokens(piece: Members, lengths: Sequence[int]) -> int:
    """Return the tokens that the model computes for a micro-batch, padding included."""
    return len(piece) * max(lengths[member] for member in piece)
