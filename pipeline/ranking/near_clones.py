"""Near-clone detection: functions whose code tokens have a multiset Jaccard similarity of at least 0.8.

Comments and layout are not code tokens, and all numbers count as one token. Names are kept, because models learn from
them and functions of the same shape with different names are not clones. Candidates come from MinHash with banding
(Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", section 3.4) and are then compared exactly, so hashing only causes misses: one pair in 2,800 at 0.8.
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
MIN_TOKENS = 20
BANDS, ROWS = 20, 5

Hashes = NDArray[np.uint64]

# Each function in a bucket is compared with this many next longer ones, to bound the cost of adversarial collisions.
_MAX_NEIGHBOURS = 32
_HASHES_PER_CHUNK = 1 << 15
_SEED = 7


def near_clones(functions: Sequence[Sequence[bytes]]) -> list[int]:
    """Return for each function, given as code tokens, the index of the first function in its group of near-clones.

    Groups are the connected components of similar pairs and do not depend on the order of the functions. A function
    under 20 tokens is always alone in its group.
    """
    features = [_features(tokens) if len(tokens) >= MIN_TOKENS else None for tokens in functions]
    groups = Components(len(functions))
    contents = [None if f is None else f.tobytes() for f in features]
    groups.join_equal(contents)
    first = {content: i for i, content in reversed(list(enumerate(contents))) if content is not None}
    # Sorted by size and content, so that neither order nor duplicates change which pairs are compared.
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
    """Return the Jaccard similarity of two sorted feature sets."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _features(tokens: Iterable[bytes]) -> Hashes:
    """Return sorted hashes, one per token and occurrence number, which turn multisets into sets."""
    counts = Counter(b"0" if token[:1].isdigit() else token for token in tokens)
    repeats = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    base = np.fromiter((_token_hash(token) for token in counts), dtype=np.uint64, count=len(counts))
    before = np.repeat(np.cumsum(repeats) - repeats, repeats)
    occurrence = (np.arange(len(before)) - before).astype(np.uint64)
    return np.sort(_mix(np.repeat(base, repeats) + occurrence * np.uint64(0x9E3779B97F4A7C15)))


@lru_cache(maxsize=1 << 16)
def _token_hash(token: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(token, digest_size=8).digest(), "little")


def _mix(values: Hashes) -> Hashes:
    """Apply the splitmix64 finalizer, so that neighbouring values become unrelated."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signatures(hashes: Sequence[Hashes]) -> Hashes:
    """Return MinHash signatures from 100 seeded permutations, one row per function."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    factors = random.integers(0, 1 << 63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.empty((len(hashes), BANDS * ROWS), dtype=np.uint64)
    start = 0
    while start < len(hashes):
        end, size = start, 0
        while end < len(hashes) and (end == start or size + len(hashes[end]) <= _HASHES_PER_CHUNK):
            size += len(hashes[end])
            end += 1
        together = np.concatenate(hashes[start:end])
        begins = np.cumsum([0, *(len(h) for h in hashes[start : end - 1])])
        for column, factor in enumerate(factors):
            signatures[start:end, column] = np.minimum.reduceat(together * factor, begins)
        start = end
    return signatures


def _buckets(signatures: Hashes) -> Iterable[list[int]]:
    """Yield ascending indices of functions that agree in a whole band; a function may be in many buckets."""
    for band in range(BANDS):
        rows = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS])
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            buckets[row.tobytes()].append(index)
        yield from (bucket for bucket in buckets.values() if len(bucket) > 1)


def _candidates(bucket: list[int], hashes: Sequence[Hashes]) -> Iterable[tuple[int, int]]:
    """Yield the pairs of a bucket that their lengths do not rule out; indices ascend with length."""
    for position, one in enumerate(bucket):
        for other in bucket[position + 1 : position + 1 + _MAX_NEIGHBOURS]:
            if len(hashes[one]) < SIMILARITY * len(hashes[other]):
                break
            yield one, other
