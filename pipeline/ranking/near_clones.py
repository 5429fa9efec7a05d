"""Functions that are nearly copies of each other: multiset Jaccard similarity of their code tokens, at least 0.8.

Comments and layout are not code tokens and all numbers count as one. Names are kept: they are what a model learns from,
and functions of one shape about different things are no copies. Candidates are found by MinHash with banding (Broder,
"On the resemblance and containment of documents", 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets",
section 3.4) and then compared exactly, so that a hash decides only what is overlooked: one pair in 2,800 at 0.8.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.components import Components

SIMILARITY = 0.8
FEWEST_TOKENS = 20
BANDS, ROWS = 20, 5

Hashes = NDArray[np.uint64]

# In one bucket a function is compared with the next ones by length only: a bound for code made to collide.
_MOST_NEIGHBOURS = 32
_HASHES_AT_ONCE = 1 << 15
_SEED = 7


def near_clones(functions: Sequence[Sequence[bytes]]) -> list[int]:
    """For each function (its code tokens) the index of the first function of its group, its own where it is alone.

    A group is what hangs together by similar pairs. Functions under 20 tokens are always alone. The groups do not
    depend on the order of the functions.
    """
    features = [_features(tokens) if len(tokens) >= FEWEST_TOKENS else None for tokens in functions]
    groups = Components(len(functions))
    contents = [None if f is None else f.tobytes() for f in features]
    groups.join_equal(contents)
    first = {content: i for i, content in reversed(list(enumerate(contents))) if content is not None}
    # By size and content, so that neither order nor copies change what is compared with what.
    distinct = sorted(first.values(), key=lambda i: (len(contents[i] or b""), contents[i]))
    hashes = [f for f in (features[i] for i in distinct) if f is not None]
    compared: set[tuple[int, int]] = set()
    for bucket in _buckets(_signatures(hashes)):
        for one, other in _candidates(bucket, hashes):
            pair = distinct[one], distinct[other]
            if (one, other) in compared or groups.find(pair[0]) == groups.find(pair[1]):
                continue
            compared.add((one, other))
            if similarity(hashes[one], hashes[other]) >= SIMILARITY:
                groups.join(*pair)
    return groups.labels()


def similarity(one: Hashes, other: Hashes) -> float:
    """Jaccard similarity of two sorted sets of features."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _features(tokens: Iterable[bytes]) -> Hashes:
    """A hash for the first occurrence of each token, another for the second, and so on; sorted."""
    counts = Counter(b"0" if token[:1].isdigit() else token for token in tokens)
    repeats = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    base = np.fromiter((_token_hash(token) for token in counts), dtype=np.uint64, count=len(counts))
    before = np.repeat(np.cumsum(repeats) - repeats, repeats)
    occurrence = (np.arange(len(before)) - before).astype(np.uint64)
    return np.sort(_mixed(np.repeat(base, repeats) + occurrence * np.uint64(0x9E3779B97F4A7C15)))


@lru_cache(maxsize=1 << 16)
def _token_hash(token: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(token, digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """The finalizer of splitmix64: neighbours become unrelated."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signatures(hashes: Sequence[Hashes]) -> Hashes:
    """The minima of 100 seeded permutations of the hashes, a row a function."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    factors = random.integers(0, 1 << 63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.empty((len(hashes), BANDS * ROWS), dtype=np.uint64)
    start = 0
    while start < len(hashes):
        end, size = start, 0
        while end < len(hashes) and (end == start or size + len(hashes[end]) <= _HASHES_AT_ONCE):
            size += len(hashes[end])
            end += 1
        together = np.concatenate(hashes[start:end])
        begins = np.cumsum([0, *(len(h) for h in hashes[start : end - 1])])
        for column, factor in enumerate(factors):
            signatures[start:end, column] = np.minimum.reduceat(together * factor, begins)
        start = end
    return signatures


def _buckets(signatures: Hashes) -> Iterable[list[int]]:
    """Functions that agree in a whole band, ascending; a function may be in many buckets."""
    for band in range(BANDS):
        rows = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS])
        found: dict[bytes, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            found[row.tobytes()].append(number)
        yield from (bucket for bucket in found.values() if len(bucket) > 1)


def _candidates(bucket: list[int], hashes: Sequence[Hashes]) -> Iterable[tuple[int, int]]:
    """Pairs of a bucket whose lengths do not already rule them out; numbers ascend with length."""
    for at, one in enumerate(bucket):
        for other in bucket[at + 1 : at + 1 + _MOST_NEIGHBOURS]:
            if len(hashes[one]) < SIMILARITY * len(hashes[other]):
                break
            yield one, other
