"""A job as it is watched: one live line on a terminal, a line now and then in a log. All of it on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.finetuning.events import CheckpointSaved, MicroBatchHalved, Resumed, TrainingStep, Validated
from pipeline.finetuning.job_events import EmbeddingStarted, JobEvent, PhaseStarted, Planned, SeedCompleted

_NOT_YET = "–"


class Watched:
    """What is known of a job so far, as text. Pure: events in, lines out."""

    def __init__(self) -> None:
        self.doing = ""
        self._last: TrainingStep | None = None
        self._rho: float | None = None
        self._expected = 0
        self._before = 0  # tokens of the phases that are over

    def see(self, event: JobEvent) -> str:
        """Take note; a line worth keeping, or nothing."""
        match event:
            case Planned():
                self._expected = event.tokens
                return planned_line(event)
            case EmbeddingStarted():
                self.doing = f"embedding {event.functions:,} functions with the untouched model"
                return self.doing
            case PhaseStarted():
                self._before += self._last.tokens if self._last else 0
                self._last, self._rho = None, None
                self.doing = f"seed {event.seed} ({event.number} of {event.seeds}), {event.phase}"
                return self.doing
            case TrainingStep():
                self._last = event
                return ""
            case Validated():
                self._rho = event.rho
                return f"{self.doing}: {self.state()}" if self._last else ""
            case Resumed():
                return f"{self.doing}: resumed after step {event.step:,}"
            case MicroBatchHalved():
                return f"memory ran out: going on with {event.tokens:,} tokens at a time"
            case SeedCompleted():
                return f"seed {event.seed} ({event.number} of {event.seeds}) is {_done(event)}"
            case CheckpointSaved():
                return ""

    def state(self) -> str:
        """Step, loss, validation ρ, tokens a second, memory, time left."""
        last = self._last
        if last is None:
            return ""
        rho = _NOT_YET if self._rho is None else f"{self._rho:.3f}"
        parts = [f"step {last.step:,}/{last.steps:,}", f"loss {last.loss:.3f}", f"validation ρ {rho}"]
        if last.seconds > 0:
            rate = last.tokens / last.seconds
            parts.append(f"{rate:,.0f} tokens/s")
            left = self._expected - self._before - last.tokens
            if rate and left > 0:
                parts.append(f"at most {minutes(left / rate / 60)} left")
        if last.memory_mb is not None:
            parts.append(f"{last.memory_mb / 1_024:.1f} GB")
        return ", ".join(parts)


def planned_line(plan: Planned) -> str:
    """What a job will cost at most, in one line."""
    seeds = "1 seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    takes = "for nobody knows how long" if plan.minutes is None else f"about {minutes(plan.minutes)}"
    return (
        f"{plan.trained_on:,} functions to train on, {plan.held_out:,} held out, {seeds}: at most "
        f"{plan.tokens:,} tokens, {plan.flops:.1e} FLOPs, {takes} on {plan.device}"
    )


def minutes(value: float) -> str:
    if value < 1:
        return f"{max(1, round(value * 60))} s"
    return f"{value:.0f} min" if value < 120 else f"{value / 60:.1f} h"


def _done(event: SeedCompleted) -> str:
    return "done already" if event.earlier else "done"


@contextmanager
def watching() -> Iterator[Callable[[JobEvent], None]]:
    """What to tell events to. Lines stay; on a terminal one more below them is drawn anew four times a second."""
    console = Console(stderr=True, highlight=False)
    watched = Watched()

    def say(line: str) -> None:
        if line:
            console.print(Text(line), soft_wrap=True)

    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda event: say(watched.see(event))
        return
    with Live(Text(""), console=console, transient=True, refresh_per_second=4) as live:

        def draw(event: JobEvent) -> None:
            line = watched.see(event)
            if not isinstance(event, Validated):  # the live line shows it
                say(line)
            live.update(Text(f"{watched.doing}: {watched.state()}" if watched.state() else watched.doing))

        yield draw
