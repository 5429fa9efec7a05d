"""How good the fix labels are: a sample for labelling by hand, and precision and recall from its answers.

The sample is stratified: half of it commits that count as fixes, half all others, each drawn by a seeded hash. Whoever
labels sees SHAs in an order that tells nothing. Precision is a share of one stratum; recall is weighted back to the
population, N1·p1 / (N1·p1 + N0·p0), where p1 and p0 are the shares of true fixes among the two strata. Pure.
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
    """What was drawn, and from how many. `others` may hold commits that fix bugs: that is what recall is about."""

    fixes: tuple[str, ...]  # SHAs that count as fix commits
    others: tuple[str, ...]
    fixes_in_all: int
    others_in_all: int
    seed: int

    @property
    def order(self) -> tuple[str, ...]:
        """All SHAs, shuffled: any beginning of it is a random sample too."""
        return tuple(_by_hash((*self.fixes, *self.others), self.seed, "order"))


@dataclass(frozen=True, slots=True)
class Stratum:
    """Answers for the commits drawn from one stratum of `population` commits."""

    population: int
    fix: int
    not_fix: int
    unsure: int = 0

    @property
    def judged(self) -> int:
        return self.fix + self.not_fix


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval; all of them None where nothing was judged that it could rest on."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """Precision and recall of the fix labels of one repository, or of several together."""

    fixes: tuple[Stratum, ...]  # one a repository
    others: tuple[Stratum, ...]
    precision: Estimate
    recall: Estimate


def draw_sample(fixes: Sequence[str], others: Sequence[str], n: int, seed: int) -> LabelSample:
    """Half from each; where one has too few, the other fills up. Raises AssayError where both have."""
    if n > len(fixes) + len(others):
        raise AssayError(f"there are only {len(fixes) + len(others)} commits to draw from: ask for fewer with --n")
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
    """Precision and recall from answers by SHA; commits without an answer, or "unsure", are left out.

    Over several repositories each counts with its population. Of one repository the precision has a Wilson interval.
    The other intervals are the 2.5th and 97.5th percentiles of 20,000 seeded draws, each share from its Jeffreys
    posterior Beta(fixes + 1/2, others + 1/2): a bootstrap that does not take nought of fifty for a certainty.
    """
    fixes = tuple(_stratum(s.fixes, s.fixes_in_all, answers) for s, answers in samples)
    others = tuple(_stratum(s.others, s.others_in_all, answers) for s, answers in samples)
    return LabelQuality(fixes, others, _precision(fixes), _recall(fixes, others))


def _stratum(shas: Iterable[str], population: int, answers: Mapping[str, Answer]) -> Stratum:
    said = [answers.get(sha) for sha in shas]
    return Stratum(population, said.count("fix"), said.count("not"), said.count("unsure"))


def _precision(fixes: Sequence[Stratum]) -> Estimate:
    if not all(s.judged for s in fixes if s.population) or not sum(s.population for s in fixes):
        return Estimate(None, None, None)
    if len(fixes) == 1:
        found = share(fixes[0].fix, fixes[0].judged)
        return Estimate(found.value, found.low, found.high)
    value = _true_fixes(fixes) / sum(s.population for s in fixes)
    return Estimate(value, *_interval(_drawn(fixes) / sum(s.population for s in fixes)))


def _recall(fixes: Sequence[Stratum], others: Sequence[Stratum]) -> Estimate:
    found, missed = _true_fixes(fixes), _true_fixes(others)
    if not all(s.judged for s in (*fixes, *others) if s.population) or not found + missed:
        return Estimate(None, None, None)
    drawn = _drawn((*fixes, *others))
    of_fixes = _drawn(fixes)
    return Estimate(found / (found + missed), *_interval(of_fixes / drawn))


def _true_fixes(strata: Sequence[Stratum]) -> float:
    """How many fixes the strata hold, weighted back to their populations."""
    return math.fsum(s.population * s.fix / s.judged for s in strata if s.judged)


def _drawn(strata: Sequence[Stratum]) -> NDArray[np.float64]:
    """Draws of the same; a stratum's draws are the same wherever it stands, because each has a generator of its own."""
    total = np.zeros(DRAWS)
    for place, s in enumerate(strata):
        generator = np.random.Generator(np.random.PCG64([DRAWS_SEED, place]))
        total += s.population * generator.beta(s.fix + 0.5, s.not_fix + 0.5, DRAWS)
    return total


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
