"""How far a run is: from what training says of itself to the few figures that a reply shows, and to JSON and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.finetuning.events import Resumed, TrainingStep, Validated
from pipeline.finetuning.job_events import EmbeddingStarted, JobEvent, PhaseStarted, Planned, SeedCompleted
from pipeline.finetuning.refit_events import HeadScoring, RefitEvent, RefitPlanned
from pipeline.json_fields import Fields, MalformedError

STARTING: Final = "loading the model"
EMBEDDING: Final = "asking the untouched model"
HEAD: Final = "scoring the functions of the head"
KEEPING: Final = "keeping adapters and results"
_FIRST_FIT: Final = "choosing the steps"
_SCORING: Final = "scoring the holdout"
_LONGEST_MINUTES: Final = 1e6


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a run while it is at work. Numbers are 0 where there is nothing to count."""

    phase: str = STARTING
    seed: int = 0  # which of `seeds`, from 1
    seeds: int = 0
    step: int = 0
    steps: int = 0  # of this phase
    minutes_left: float | None = None  # about, of training; none where nobody can tell
    rho: float | None = None  # on the validation slice, at the last try
    device: str = ""


def dump_progress(progress: Progress) -> dict[str, Any]:
    return dataclasses.asdict(progress)


def load_progress(value: object) -> Progress | None:
    """None where there is none yet, or where another release wrote it."""
    try:
        said = Fields(value, "progress")
        return Progress(
            phase=said.text("phase"),
            seed=said.whole("seed"),
            seeds=said.whole("seeds"),
            step=said.whole("step"),
            steps=said.whole("steps"),
            minutes_left=said.optional("minutes_left", lambda: said.number("minutes_left", 0, _LONGEST_MINUTES)),
            rho=said.optional("rho", lambda: said.number("rho", -1, 1)),
            device=said.text("device", empty=True),
        )
    except MalformedError:
        return None


class Meter:
    """Events in, progress out. Pure."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._tokens = 0  # of training, of the whole job, at most
        self._fits = 2  # of a seed
        self._planned_rate: float | None = None  # tokens a minute
        self._last: TrainingStep | None = None
        self._completed = 0

    def see(self, event: JobEvent | RefitEvent) -> Progress:
        match event:
            case Planned() | RefitPlanned():
                self._plan(event)
            case PhaseStarted():
                scoring = event.phase == _SCORING
                last = self.progress
                self._last = self._last if scoring else None
                self._begin(event.phase, event.number, event.seeds, last.rho if scoring else None)
            case HeadScoring():
                self._begin(HEAD, event.number, event.seeds)
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

    def _plan(self, plan: Planned | RefitPlanned) -> None:
        self._tokens = plan.tokens
        self._fits = 2 if isinstance(plan, Planned) else 1
        self._planned_rate = plan.tokens / plan.minutes if plan.minutes else None
        self._change(device=plan.device, seeds=plan.seeds)

    def _begin(self, phase: str, seed: int, seeds: int, rho: float | None = None) -> None:
        self._change(phase=phase, seed=seed, seeds=seeds, step=0, steps=0, rho=rho)

    def _change(self, **changes: Any) -> None:
        self.progress = dataclasses.replace(self.progress, **changes)

    def _minutes_left(self) -> float | None:
        """By the rate of this fit, else by the planned one. A later fit may take fewer steps than are counted."""
        rate = self._planned_rate
        last = self._last
        if last is not None and last.seconds > 0 and last.tokens > 0:
            rate = last.tokens / last.seconds * 60
        tokens = self._tokens_left()
        if not rate or tokens <= 0 or tokens > _LONGEST_MINUTES * rate:
            return None
        return round(tokens / rate, 2)

    def _tokens_left(self) -> float:
        now = self.progress
        if not now.seeds or now.phase == EMBEDDING:
            return 0.0
        of_a_fit = self._tokens / (self._fits * now.seeds)
        of_other_seeds = max(0, now.seeds - self._completed - 1) * self._fits * of_a_fit
        if now.phase in (_SCORING, HEAD):
            return of_other_seeds
        later = of_a_fit if now.phase in (_FIRST_FIT, STARTING) and self._fits == 2 else 0.0
        return of_other_seeds + later + self._of_this_fit(of_a_fit)

    def _of_this_fit(self, of_a_fit: float) -> float:
        last = self._last
        if last is None or not last.step:
            return of_a_fit
        return last.tokens * (last.steps - last.step) / last.step


class Pace:
    """When to pass something on: not more often than every so many seconds, but at once where the phase changed."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = -math.inf
        self._phase: tuple[str, int] | None = None

    def is_due(self, progress: Mapping[str, Any], now_s: float) -> bool:
        """`now_s` is a reading of any clock; who is told that it is due takes it as done."""
        phase = str(progress.get("phase")), int(progress.get("seed") or 0)
        if phase == self._phase and now_s < self._last_s + self._every_s:
            return False
        self._phase, self._last_s = phase, now_s
        return True
