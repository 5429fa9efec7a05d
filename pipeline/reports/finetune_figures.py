"""The result of a fine-tuning run as it is shown: read back from what `finetune_json` wrote in any release.

Nothing is raised: what is missing, of another type or out of bounds counts as not said, so that a result which only
half makes sense is shown half. Numbers are finite, texts are bounded and still foreign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pipeline.records import OutcomeKind

ADAPTER: Final = "adapter"  # names of rankings, as in finetuning.judgement, which takes scipy to import
BASELINE: Final = "baseline"
BLEND: Final = "blend of adapter and activity"

Scorer = Literal["adapter", "blend", "baseline"]
Point = tuple[int, float]  # (step, value)

_OUTCOMES: Final[tuple[OutcomeKind, ...]] = get_args(OutcomeKind)
_LONGEST_TEXT: Final = 500
_MOST_SCORERS: Final = 40
_MOST_SEEDS: Final = 20
_MOST_POINTS: Final = 5_000
_MOST_NOTES: Final = 20
_HUGE: Final = 1 << 53
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its 95 % interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ScorerFigures:
    """One ranking of the held-out functions."""

    name: str
    rho: Measured
    rho_share: float | None  # ρ / ρ_max
    auc: float | None
    precision_at_10: float | None
    recall_at_20_percent: float | None  # of the lines
    reason: str  # why a number is missing


@dataclass(frozen=True, slots=True)
class SeedCurve:
    """How one seed learned."""

    seed: str
    losses: tuple[Point, ...]
    validation_rhos: tuple[Point, ...]
    planned_steps: int | None
    chosen_steps: int | None
    ended: str


@dataclass(frozen=True, slots=True)
class FinetuneFigures:
    """What is known of a run's result; what is not said is none, empty or ()."""

    outcome: OutcomeKind | None
    reason: str
    delta: Measured
    smallest_detectable: float | None
    n: int | None
    positives: int | None
    prevalence: float | None
    rho_max: float | None
    best_cheap: str
    beats_best_cheap: bool | None
    against_best_cheap: Measured
    rho_adapter: float | None
    rho_baseline: float | None
    scorers: tuple[ScorerFigures, ...]
    control: str
    ended: str  # "time limit" where less was done than planned
    seeds_planned: tuple[int, ...]
    seeds_completed: tuple[int, ...]
    curves: tuple[SeedCurve, ...]
    train_start: str  # days: the labels of training are those from here to eval_start,
    eval_start: str  # those of the holdout from here
    as_of: str  # to here
    trained_on: int | None
    training_positives: int | None
    recipe_id: str
    label_recipe_id: str
    config_hash: str
    revision: str  # the commit it is pinned at, or what stands for it: the digest of a directory
    gpu_seconds: float | None
    device: str
    notes: tuple[str, ...]

    def scorer(self, name: str) -> ScorerFigures | None:
        return next((scorer for scorer in self.scorers if scorer.name == name), None)

    @property
    def adapter(self) -> Measured:
        return self._rho(ADAPTER, self.rho_adapter)

    @property
    def baseline(self) -> Measured:
        return self._rho(BASELINE, self.rho_baseline)

    @property
    def best(self) -> Scorer:
        """What ranks from now on: after a WIN the blend if its ρ is higher than the adapter's."""
        if self.outcome != "WIN" or self.control:
            return "baseline"
        blend = self._rho(BLEND, None).value
        return "blend" if blend is not None and blend > (self.adapter.value or 0.0) else "adapter"

    @property
    def conclusive(self) -> bool:
        """Whether it says anything about the repository: a control never does."""
        return self.outcome not in (None, "INCONCLUSIVE") and not self.control

    @property
    def shortened(self) -> bool:
        """Whether the time limit let less be trained than the recipe wants."""
        return bool(self.ended or any(curve.ended for curve in self.curves))

    @property
    def fewer_seeds(self) -> bool:
        return len(self.seeds_completed) < len(self.seeds_planned)

    def _rho(self, name: str, official: float | None) -> Measured:
        found = self.scorer(name)
        if found is None:
            return Measured(official)
        return found.rho if official is None else Measured(official, found.rho.low, found.rho.high)


def load_figures(result: object) -> FinetuneFigures:
    """The figures of a stored result, whatever it is."""
    said = _Said(result)
    model = said.inner("recipe").inner("base_model")
    curves = said.inner("curves").entries(_MOST_SEEDS)
    return FinetuneFigures(
        outcome=said.choice("outcome", _OUTCOMES),
        reason=said.text("reason"),
        delta=Measured(said.number("delta"), said.number("delta_low"), said.number("delta_high")),
        smallest_detectable=said.number("smallest_detectable"),
        n=said.whole("n"),
        positives=said.whole("positives"),
        prevalence=said.share("prevalence"),
        rho_max=said.number("rho_max"),
        best_cheap=said.text("best_cheap"),
        beats_best_cheap=said.flag("beats_best_cheap"),
        against_best_cheap=said.inner("against_best_cheap").measured("delta", "low", "high"),
        rho_adapter=said.number("rho_adapter"),
        rho_baseline=said.number("rho_baseline"),
        scorers=tuple(_scorer(name, each) for name, each in said.inner("scorers").entries(_MOST_SCORERS)),
        control=said.text("control"),
        ended=said.text("ended"),
        seeds_planned=said.wholes("seeds_planned"),
        seeds_completed=said.wholes("seeds_completed"),
        curves=tuple(_curve(seed, each) for seed, each in curves if seed.isascii() and seed.isdigit()),
        train_start=said.day("train_start"),
        eval_start=said.day("eval_start"),
        as_of=said.day("as_of"),
        trained_on=said.whole("trained_on"),
        training_positives=said.whole("training_positives"),
        recipe_id=said.text("recipe_id"),
        label_recipe_id=said.text("label_recipe_id"),
        config_hash=said.text("config_hash"),
        revision=model.text("revision") or model.text("digest"),
        gpu_seconds=said.positive("gpu_seconds"),
        device=said.text("device"),
        notes=said.texts("notes"),
    )


def _scorer(name: str, said: _Said) -> ScorerFigures:
    return ScorerFigures(
        name=name,
        rho=said.measured("rho", "rho_low", "rho_high"),
        rho_share=said.number("rho_share"),
        auc=said.share("auc"),
        precision_at_10=said.share("precision_at_10"),
        recall_at_20_percent=said.share("recall_at_20_percent"),
        reason=said.text("reason"),
    )


def _curve(seed: str, said: _Said) -> SeedCurve:
    return SeedCurve(
        seed=seed,
        losses=said.points("losses"),
        validation_rhos=said.points("validation_rhos"),
        planned_steps=said.whole("planned_steps"),
        chosen_steps=said.whole("chosen_steps"),
        ended=said.text("ended"),
    )


class _Said:
    """A JSON object of which whatever does not make sense is not there."""

    def __init__(self, value: object) -> None:
        self._values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def inner(self, key: str) -> _Said:
        return _Said(self._values.get(key))

    def entries(self, most: int) -> Iterable[tuple[str, _Said]]:
        """The objects that stand under a name, in their order."""
        named = ((key, value) for key, value in self._values.items() if isinstance(key, str))
        return [(key[:_LONGEST_TEXT], _Said(value)) for key, value in named if isinstance(value, Mapping)][:most]

    def number(self, key: str) -> float | None:
        """Of correlations and their differences: between -2 and 2."""
        value = _finite(self._values.get(key))
        return value if value is not None and -2 <= value <= 2 else None

    def share(self, key: str) -> float | None:
        value = _finite(self._values.get(key))
        return value if value is not None and 0 <= value <= 1 else None

    def positive(self, key: str) -> float | None:
        value = _finite(self._values.get(key))
        return value if value is not None and 0 <= value <= _HUGE else None

    def measured(self, value: str, low: str, high: str) -> Measured:
        return Measured(self.number(value), self.number(low), self.number(high))

    def whole(self, key: str) -> int | None:
        return _whole(self._values.get(key))

    def wholes(self, key: str) -> tuple[int, ...]:
        found = map(_whole, self._list(key)[:_MOST_SEEDS])
        return tuple(value for value in found if value is not None)

    def flag(self, key: str) -> bool | None:
        value = self._values.get(key)
        return value if isinstance(value, bool) else None

    def text(self, key: str) -> str:
        value = self._values.get(key)
        return value[:_LONGEST_TEXT] if isinstance(value, str) else ""

    def day(self, key: str) -> str:
        """Of an ISO time."""
        found = _DAY.match(self.text(key))
        return found[0] if found else ""

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(text[:_LONGEST_TEXT] for text in self._list(key)[:_MOST_NOTES] if isinstance(text, str) and text)

    def choice(self, key: str, choices: tuple[OutcomeKind, ...]) -> OutcomeKind | None:
        return next((choice for choice in choices if choice == self._values.get(key)), None)

    def points(self, key: str) -> tuple[Point, ...]:
        """Of a curve, by step."""
        pairs = (point for point in self._list(key)[:_MOST_POINTS] if isinstance(point, list) and len(point) == 2)
        found = ((_whole(step), _finite(value)) for step, value in pairs)
        return tuple(sorted((step, value) for step, value in found if step is not None and value is not None))

    def _list(self, key: str) -> list[Any]:
        value = self._values.get(key)
        return value if isinstance(value, list) else []


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_HUGE <= value <= _HUGE:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _HUGE else None
