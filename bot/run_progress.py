"""The progress of a run: from training events to the few figures that a reply shows, and to JSON and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.finetuning.events import (
    EmbeddingStarted,
    JobEvent,
    Phase,
    PhaseStarted,
    Planned,
    Resumed,
    SeedCompleted,
    TrainingStep,
    Validated,
)
from pipeline.json_fields import Fields, MalformedError

STARTING: Final = "loading the model"
EMBEDDING: Final = "asking the untouched model"
HEAD: Final[Phase] = "scoring the functions of the head"
KEEPING: Final = "keeping adapters and results"
_FIRST_FIT: Final[Phase] = "choosing the steps"
_HOLDOUT: Final[Phase] = "scoring the holdout"
_MAX_MINUTES: Final = 1e6


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a running job. Numbers are 0 if there is nothing to count."""

    phase: str = STARTING
    seed: int = 0  # its number among `seeds`, from 1
    seeds: int = 0
    step: int = 0
    steps: int = 0  # of this phase
    minutes_left: float | None = None  # of training, estimated; None if unknown
    rho: float | None = None  # on the validation slice, most recently
    device: str = ""


def dump_progress(progress: Progress) -> dict[str, Any]:
    return dataclasses.asdict(progress)


def load_progress(value: object) -> Progress | None:
    """Return None if there is no progress yet, or if another release wrote it."""
    try:
        fields = Fields(value, "progress")
        return Progress(
            phase=fields.text("phase"),
            seed=fields.whole("seed"),
            seeds=fields.whole("seeds"),
            step=fields.whole("step"),
            steps=fields.whole("steps"),
            minutes_left=fields.optional("minutes_left", lambda: fields.number("minutes_left", 0, _MAX_MINUTES)),
            rho=fields.optional("rho", lambda: fields.number("rho", -1, 1)),
            device=fields.text("device", empty=True),
        )
    except MalformedError:
        return None


class Meter:
    """Turns events into progress. Pure."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._tokens = 0  # of training, of the whole job, at most
        self._fits = 2  # per seed
        self._planned_rate: float | None = None  # tokens a minute
        self._last: TrainingStep | None = None
        self._completed = 0

    def update(self, event: JobEvent) -> Progress:
        """Return the progress after `event`."""
        match event:
            case Planned():
                self._plan(event)
            case PhaseStarted():
                if event.phase in (_HOLDOUT, HEAD):
                    rho = self.progress.rho
                else:
                    rho, self._last = None, None
                self._begin(event.phase, event.number, event.seeds, rho)
            case EmbeddingStarted():
                self._begin(EMBEDDING, 0, self.progress.seeds)
            case TrainingStep():
                self._last = event
                self._change(step=event.step, steps=event.steps)
            case Validated():
                self._change(rho=event.rho)
            case Resumed():
                self._change(step=event.step)
            case SeedCompleted():
                self._completed += 1
            case _:
                pass
        self._change(minutes_left=self._minutes_left())
        return self.progress

    def _plan(self, plan: Planned) -> None:
        self._tokens = plan.tokens
        self._fits = plan.fits
        self._planned_rate = plan.tokens / plan.minutes if plan.minutes else None
        self._change(device=plan.device, seeds=plan.seeds)

    def _begin(self, phase: str, seed: int, seeds: int, rho: float | None = None) -> None:
        self._change(phase=phase, seed=seed, seeds=seeds, step=0, steps=0, rho=rho)

    def _change(self, **changes: Any) -> None:
        self.progress = dataclasses.replace(self.progress, **changes)

    def _minutes_left(self) -> float | None:
        """Estimate by the rate of this fit, else by the planned one. A later fit may take fewer steps than assumed."""
        rate = self._planned_rate
        last = self._last
        if last is not None and last.seconds > 0 and last.tokens > 0:
            rate = last.tokens / last.seconds * 60
        tokens = self._tokens_left()
        if not rate or tokens <= 0 or tokens > _MAX_MINUTES * rate:
            return None
        return round(tokens / rate, 2)

    def _tokens_left(self) -> float:
        now = self.progress
        if not now.seeds or now.phase == EMBEDDING:
            return 0.0
        per_fit = self._tokens / (self._fits * now.seeds)
        other_seeds = max(0, now.seeds - self._completed - 1) * self._fits * per_fit
        if now.phase in (_HOLDOUT, HEAD):
            return other_seeds
        later = per_fit if now.phase in (_FIRST_FIT, STARTING) and self._fits == 2 else 0.0
        return other_seeds + later + self._left_of_fit(per_fit)

    def _left_of_fit(self, per_fit: float) -> float:
        last = self._last
        if last is None or not last.step:
            return per_fit
        return last.tokens * (last.steps - last.step) / last.step


class Pace:
    """Throttles progress reports to one every `every_s` seconds, except when the phase changes."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = -math.inf
        self._phase: tuple[str, int] | None = None

    def is_due(self, progress: Mapping[str, Any], now_s: float) -> bool:
        """Return whether to report at `now_s`, a reading of any clock; True counts as reported."""
        phase = str(progress.get("phase")), int(progress.get("seed") or 0)
        if phase == self._phase and now_s < self._last_s + self._every_s:
            return False
        self._phase, self._last_s = phase, now_s
        return True
