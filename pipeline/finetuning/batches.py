"""Which functions make up each step of the optimiser, and in which pieces they go through the model.

Few functions have a signal, so a step holds more of them than the repository does: every positive (target > 0) once an
epoch, and beside them as many negatives as keep positives at the least share or above. The negatives are drawn again
for each epoch, first those that were drawn least often, so that over the epochs as many as possible are seen. Where
positives are frequent enough, every function is used once an epoch, but for a few that whole numbers leave over for the
next; where they are too frequent, all the same.

Padding is computed for nothing, so functions of similar length go together. The positives of a step are neighbours in
length and so are its negatives, but which positives meet which negatives is chance: the ranking loss compares
functions of every length with each other. What pads more than a tenth all the same is cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

MOST_PADDING = 0.1  # of the tokens of a micro-batch

# How far chance moves a length before functions are sorted by it (standard deviation of its logarithm): neighbours
# differ from epoch to epoch, and padding hardly grows.
_JITTER = 0.05

Members = tuple[int, ...]  # of a step or a micro-batch: positions in the training set
Ints = NDArray[np.int64]


def plan_steps(
    lengths: Sequence[int], targets: ArrayLike, recipe: FinetuneRecipe, seed: int, *, steps: int | None = None
) -> tuple[Members, ...]:
    """The members of every step of all epochs, at most `recipe.batch_size` each; the same for the same arguments.

    `lengths` (n,) in tokens, `targets` (n,) in [0, 1]. With `steps`, that many: epochs are added where the recipe's do
    not suffice. Raises AssayError where there is nothing to learn from.
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
        # Least drawn first, equals by chance.
        chosen = negatives[np.lexsort((random.random(len(negatives)), drawn[negatives]))[:wanted]]
        drawn[chosen] += 1
        parts = (
            _runs(positives, [size for size, _ in sizes], lengths, random),
            _runs(chosen, [size for _, size in sizes], lengths, random),
        )
        yield [(*some, *others) for some, others in zip(*parts, strict=True)]
        epoch += 1


def _batch_sizes(positives: int, negatives: int, recipe: FinetuneRecipe) -> list[tuple[int, int]]:
    """Positives and negatives of each step of an epoch: all positives, spread evenly."""
    least, most = recipe.least_positives, recipe.batch_size
    used = min(negatives, _beside(positives, least)) if least else negatives
    steps = max(1, -(-(positives + used) // most))
    if least:
        steps = min(steps, positives)  # a step without a positive has nothing to compare
    sizes = []
    for step in range(steps):
        some = _share(positives, steps, step)
        others = _share(used, steps, steps - 1 - step)  # the larger part of one beside the smaller part of the other
        sizes.append((some, min(others, most - some, _beside(some, least)) if least else min(others, most - some)))
    return sizes


def _beside(positives: int, least: float) -> int:
    """How many negatives go with these positives at most."""
    return int(positives * (1 - least) / least + 1e-9)


def _share(whole: int, parts: int, part: int) -> int:
    return whole // parts + (part < whole % parts)


def _runs(members: Ints, sizes: list[int], lengths: NDArray[np.float64], random: np.random.Generator) -> list[Members]:
    """The members cut into runs of neighbours in length, of these sizes, dealt out by chance."""
    jittered = np.log(np.maximum(lengths[members], 1)) + random.normal(0, _JITTER, len(members))
    ordered = members[np.argsort(jittered, kind="stable")]
    # Sizes differ by one or two: which run is the longer one is chance as well.
    dealt = random.permutation(len(sizes))
    ends = np.cumsum([sizes[step] for step in dealt])
    runs: list[Members] = [()] * len(sizes)
    for step, end in zip(dealt, ends, strict=True):
        runs[step] = tuple(ordered[end - sizes[step] : end].tolist())
    return runs


def micro_batches(members: Members, lengths: Sequence[int], most_tokens: int) -> tuple[Members, ...]:
    """The members of a step in pieces, each of at most `most_tokens` with padding and a tenth of it padding.

    A function that is longer than `most_tokens` goes alone. Every member is in one piece; shortest first.
    """
    pending = [sorted(members, key=lambda member: (lengths[member], member))]
    pieces = []
    while pending:
        piece = pending.pop()
        left = _cut([lengths[member] for member in piece], most_tokens)
        if left:
            pending += (piece[left:], piece[:left])
        else:
            pieces.append(tuple(piece))
    return tuple(pieces)


def _cut(ordered: list[int], most_tokens: int) -> int:
    """Where lengths in ascending order are cut in two; 0 where they are one piece."""
    count, padded = len(ordered), len(ordered) * ordered[-1]
    if count == 1:
        return 0
    if padded - sum(ordered) > MOST_PADDING * padded:  # where the fewest tokens are left
        lengths, sizes = np.asarray(ordered), np.arange(1, count)
        return int(np.argmin(sizes * lengths[:-1] + (count - sizes) * lengths[-1])) + 1
    return count // 2 if padded > most_tokens else 0


def padded_tokens(piece: Members, lengths: Sequence[int]) -> int:
    """What the model computes for a micro-batch, with padding."""
    return len(piece) * max(lengths[member] for member in piece)
