"""Quality of the fix labels: a sample to label by hand, and precision and recall from the answers.

The sample is stratified: half from the fix commits and half from all others, each drawn by a seeded hash and presented
in shuffled order so that the labeller is blind to the stratum. Precision is the share of true fixes in the first
stratum; recall is weighted back to the population, N1·p1 / (N1·p1 + N0·p0), where p1 and p0 are the shares of true
fixes in the two strata. Pure.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.threshold import share
from pipeline.records import AssayError

Answer = Literal["fix", "not", "unsure"]
ANSWERS: Final[tuple[Answer, ...]] = get_args(Answer)

DRAWS: Final = 20_000
DRAWS_SEED: Final = 20_260_101
_TAIL: Final = 0.025


@dataclass(frozen=True, slots=True)
class LabelSample:
    """A stratified sample. `others` may contain true fixes, which is what recall measures."""

    fixes: tuple[str, ...]  # SHAs that count as fix commits
    others: tuple[str, ...]
    fixes_in_all: int  # size of each stratum in the population
    others_in_all: int
    seed: int

    @property
    def order(self) -> tuple[str, ...]:
        """All SHAs, shuffled, so that any prefix is a random sample too."""
        return tuple(_by_hash((*self.fixes, *self.others), self.seed, "order"))


@dataclass(frozen=True, slots=True)
class Stratum:
    """The answers for one stratum of `population` commits."""

    population: int
    fix: int
    not_fix: int
    unsure: int = 0

    @property
    def judged(self) -> int:
        return self.fix + self.not_fix


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval; all None if there are too few answers to compute it."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """Precision and recall of the fix labels over one or more repositories."""

    fixes: tuple[Stratum, ...]  # one per repository
    others: tuple[Stratum, ...]
    precision: Estimate
    recall: Estimate


def draw_sample(fixes: Sequence[str], others: Sequence[str], n: int, seed: int) -> LabelSample:
    """Draw `n` SHAs, half from each stratum; if one is too small, fill up from the other.

    Raises AssayError if both together are too small.
    """
    if n > len(fixes) + len(others):
        raise AssayError(f"there are only {len(fixes) + len(others)} commits to sample from: use a smaller --n")
    from_fixes = min(len(fixes), max(n - n // 2, n - len(others)))
    return LabelSample(
        fixes=tuple(_by_hash(fixes, seed, "draw")[:from_fixes]),
        others=tuple(_by_hash(others, seed, "draw")[: n - from_fixes]),
        fixes_in_all=len(fixes),
        others_in_all=len(others),
        seed=seed,
    )


def _by_hash(shas: Iterable[str], seed: int, purpose: str) -> list[str]:
    return sorted(shas, key=lambda sha: hashlib.sha256(f"{purpose}:{seed}:{sha}".encode()).digest())


def score(samples: Sequence[tuple[LabelSample, Mapping[str, Answer]]]) -> LabelQuality:
    """Return precision and recall from answers by SHA; missing and "unsure" answers are ignored.

    Repositories are weighted by population. The precision of a single repository has a Wilson interval. All other
    intervals are the 2.5th and 97.5th percentiles of 20,000 seeded draws in which each share comes from its Jeffreys
    posterior Beta(fixes + 1/2, others + 1/2), so that 0 of 50 is not taken for certainty, as in a plain bootstrap.
    """
    fixes = tuple(_stratum(s.fixes, s.fixes_in_all, answers) for s, answers in samples)
    others = tuple(_stratum(s.others, s.others_in_all, answers) for s, answers in samples)
    return LabelQuality(fixes, others, _precision(fixes), _recall(fixes, others))


def _stratum(shas: Iterable[str], population: int, answers: Mapping[str, Answer]) -> Stratum:
    given = [answers.get(sha) for sha in shas]
    return Stratum(population, given.count("fix"), given.count("not"), given.count("unsure"))


def _precision(fixes: Sequence[Stratum]) -> Estimate:
    if not all(s.judged for s in fixes if s.population) or not sum(s.population for s in fixes):
        return Estimate(None, None, None)
    if len(fixes) == 1:
        precision = share(fixes[0].fix, fixes[0].judged)
        return Estimate(precision.value, precision.low, precision.high)
    value = _true_fixes(fixes) / sum(s.population for s in fixes)
    return Estimate(value, *_interval(_draw_true_fixes(fixes) / sum(s.population for s in fixes)))


def _recall(fixes: Sequence[Stratum], others: Sequence[Stratum]) -> Estimate:
    labelled, missed = _true_fixes(fixes), _true_fixes(others)
    if not all(s.judged for s in (*fixes, *others) if s.population) or not labelled + missed:
        return Estimate(None, None, None)
    intervals = _interval(_draw_true_fixes(fixes) / _draw_true_fixes((*fixes, *others)))
    return Estimate(labelled / (labelled + missed), *intervals)


def _true_fixes(strata: Sequence[Stratum]) -> float:
    """Estimate the number of true fixes in the populations of the strata."""
    return math.fsum(s.population * s.fix / s.judged for s in strata if s.judged)


def _draw_true_fixes(strata: Sequence[Stratum]) -> NDArray[np.float64]:
    """Draw the same number from its posterior, with one generator per position so that draws can be paired."""
    total = np.zeros(DRAWS)
    for position, s in enumerate(strata):
        generator = np.random.Generator(np.random.PCG64([DRAWS_SEED, position]))
        total += s.population * generator.beta(s.fix + 0.5, s.not_fix + 0.5, DRAWS)
    return total


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
