"""Read the figures of a stored run, written by `finetune_json` in any release, to show them.

Nothing raises: a value that is missing, of another type or out of bounds counts as absent, so that the intact half of a
damaged result is still shown. Numbers are finite, texts are bounded but not escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pipeline.finetuning.ranker import ADAPTER as ADAPTER
from pipeline.finetuning.ranker import BLEND as BLEND
from pipeline.finetuning.ranker import RankerName, select_ranker
from pipeline.records import OutcomeKind

BASELINE: Final = "baseline"  # as in ranking.baseline, which is slow to import

Point = tuple[int, float]  # (step, value)

_OUTCOMES: Final[tuple[OutcomeKind, ...]] = get_args(OutcomeKind)
_MAX_TEXT_LENGTH: Final = 500
_MAX_SCORERS: Final = 40
_MAX_SEEDS: Final = 20
_MAX_POINTS: Final = 5_000
_MAX_NOTES: Final = 20
_MAX_NUMBER: Final = 1 << 53
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
    reason: str  # for missing numbers


@dataclass(frozen=True, slots=True)
class SeedCurve:
    """The training curves of one seed."""

    seed: str
    losses: tuple[Point, ...]
    validation_rhos: tuple[Point, ...]
    planned_steps: int | None
    chosen_steps: int | None
    ended: str


@dataclass(frozen=True, slots=True)
class FinetuneFigures:
    """The figures of a run; what is absent is None, empty or ()."""

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
    ended: str  # "time limit" if less was trained than planned
    seeds_planned: tuple[int, ...]
    seeds_completed: tuple[int, ...]
    curves: tuple[SeedCurve, ...]
    train_start: str  # days: training labels are from here
    eval_start: str  # to here, those of the holdout from here
    as_of: str  # to here
    trained_on: int | None
    training_positives: int | None
    recipe_id: str
    label_recipe_id: str
    config_hash: str
    revision: str  # the commit that the base model is pinned at, or the digest of its directory
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
    def best(self) -> RankerName:
        """Return what ranks the repository after this run (`select_ranker`)."""
        return select_ranker(
            self.outcome,
            rho_adapter=self.adapter.value,
            rho_blend=self._rho(BLEND, None).value,
            control=self.control,
        )

    @property
    def conclusive(self) -> bool:
        """Return whether the outcome says anything about the repository; a control never does."""
        return self.outcome not in (None, "INCONCLUSIVE") and not self.control

    @property
    def shortened(self) -> bool:
        """Return whether the time limit cut training short."""
        return bool(self.ended or any(curve.ended for curve in self.curves))

    @property
    def fewer_seeds(self) -> bool:
        return len(self.seeds_completed) < len(self.seeds_planned)

    def _rho(self, name: str, official: float | None) -> Measured:
        scorer = self.scorer(name)
        if scorer is None:
            return Measured(official)
        return scorer.rho if official is None else Measured(official, scorer.rho.low, scorer.rho.high)


def load_figures(result: object) -> FinetuneFigures:
    """Return the figures of a stored result, whatever it holds."""
    stored = _Lenient(result)
    model = stored.inner("recipe").inner("base_model")
    curves = stored.inner("curves").entries(_MAX_SEEDS)
    return FinetuneFigures(
        outcome=stored.choice("outcome", _OUTCOMES),
        reason=stored.text("reason"),
        delta=Measured(stored.number("delta"), stored.number("delta_low"), stored.number("delta_high")),
        smallest_detectable=stored.number("smallest_detectable"),
        n=stored.whole("n"),
        positives=stored.whole("positives"),
        prevalence=stored.share("prevalence"),
        rho_max=stored.number("rho_max"),
        best_cheap=stored.text("best_cheap"),
        beats_best_cheap=stored.flag("beats_best_cheap"),
        against_best_cheap=stored.inner("against_best_cheap").measured("delta", "low", "high"),
        rho_adapter=stored.number("rho_adapter"),
        rho_baseline=stored.number("rho_baseline"),
        scorers=tuple(_scorer(name, each) for name, each in stored.inner("scorers").entries(_MAX_SCORERS)),
        control=stored.text("control"),
        ended=stored.text("ended"),
        seeds_planned=stored.wholes("seeds_planned"),
        seeds_completed=stored.wholes("seeds_completed"),
        curves=tuple(_curve(seed, each) for seed, each in curves if seed.isascii() and seed.isdigit()),
        train_start=stored.day("train_start"),
        eval_start=stored.day("eval_start"),
        as_of=stored.day("as_of"),
        trained_on=stored.whole("trained_on"),
        training_positives=stored.whole("training_positives"),
        recipe_id=stored.text("recipe_id"),
        label_recipe_id=stored.text("label_recipe_id"),
        config_hash=stored.text("config_hash"),
        revision=model.text("revision") or model.text("digest"),
        gpu_seconds=stored.positive("gpu_seconds"),
        device=stored.text("device"),
        notes=stored.texts("notes"),
    )


def _scorer(name: str, stored: _Lenient) -> ScorerFigures:
    return ScorerFigures(
        name=name,
        rho=stored.measured("rho", "rho_low", "rho_high"),
        rho_share=stored.number("rho_share"),
        auc=stored.share("auc"),
        precision_at_10=stored.share("precision_at_10"),
        recall_at_20_percent=stored.share("recall_at_20_percent"),
        reason=stored.text("reason"),
    )


def _curve(seed: str, stored: _Lenient) -> SeedCurve:
    return SeedCurve(
        seed=seed,
        losses=stored.points("losses"),
        validation_rhos=stored.points("validation_rhos"),
        planned_steps=stored.whole("planned_steps"),
        chosen_steps=stored.whole("chosen_steps"),
        ended=stored.text("ended"),
    )


class _Lenient:
    """A JSON object in which an invalid value counts as absent."""

    def __init__(self, value: object) -> None:
        self._values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def inner(self, key: str) -> _Lenient:
        return _Lenient(self._values.get(key))

    def entries(self, limit: int) -> Iterable[tuple[str, _Lenient]]:
        """Return the named inner objects, in their order."""
        named = ((key, value) for key, value in self._values.items() if isinstance(key, str))
        return [(key[:_MAX_TEXT_LENGTH], _Lenient(value)) for key, value in named if isinstance(value, Mapping)][:limit]

    def number(self, key: str) -> float | None:
        """Return a correlation or a difference of two: between -2 and 2."""
        value = _finite(self._values.get(key))
        return value if value is not None and -2 <= value <= 2 else None

    def share(self, key: str) -> float | None:
        value = _finite(self._values.get(key))
        return value if value is not None and 0 <= value <= 1 else None

    def positive(self, key: str) -> float | None:
        value = _finite(self._values.get(key))
        return value if value is not None and 0 <= value <= _MAX_NUMBER else None

    def measured(self, value: str, low: str, high: str) -> Measured:
        return Measured(self.number(value), self.number(low), self.number(high))

    def whole(self, key: str) -> int | None:
        return _whole(self._values.get(key))

    def wholes(self, key: str) -> tuple[int, ...]:
        values = map(_whole, self._list(key)[:_MAX_SEEDS])
        return tuple(value for value in values if value is not None)

    def flag(self, key: str) -> bool | None:
        value = self._values.get(key)
        return value if isinstance(value, bool) else None

    def text(self, key: str) -> str:
        value = self._values.get(key)
        return value[:_MAX_TEXT_LENGTH] if isinstance(value, str) else ""

    def day(self, key: str) -> str:
        """Return the day of an ISO time."""
        match = _DAY.match(self.text(key))
        return match[0] if match else ""

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(text[:_MAX_TEXT_LENGTH] for text in self._list(key)[:_MAX_NOTES] if isinstance(text, str) and text)

    def choice(self, key: str, choices: tuple[OutcomeKind, ...]) -> OutcomeKind | None:
        return next((choice for choice in choices if choice == self._values.get(key)), None)

    def points(self, key: str) -> tuple[Point, ...]:
        """Return the points of a curve, by step."""
        pairs = (point for point in self._list(key)[:_MAX_POINTS] if isinstance(point, list) and len(point) == 2)
        points = ((_whole(step), _finite(value)) for step, value in pairs)
        return tuple(sorted((step, value) for step, value in points if step is not None and value is not None))

    def _list(self, key: str) -> list[Any]:
        value = self._values.get(key)
        return value if isinstance(value, list) else []


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_NUMBER else None
