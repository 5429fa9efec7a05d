"""Show the progress of a job on stderr: one live line on a terminal, occasional lines in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.finetuning.events import (
    CheckpointSaved,
    EmbeddingStarted,
    JobEvent,
    MicroBatchHalved,
    PhaseStarted,
    Planned,
    Resumed,
    SeedCompleted,
    TrainingStep,
    Validated,
)

_UNKNOWN = "–"


class ProgressLines:
    """Turns events into lines of text. Pure."""

    def __init__(self) -> None:
        self.phase = ""
        self._last: TrainingStep | None = None
        self._rho: float | None = None
        self._planned_tokens = 0
        self._finished_tokens = 0  # of earlier phases

    def update(self, event: JobEvent) -> str:
        """Take in an event and return a line worth keeping, or an empty one."""
        match event:
            case Planned():
                self._planned_tokens = event.tokens
                return planned_line(event)
            case EmbeddingStarted():
                self.phase = f"embedding {event.functions:,} functions with the untrained model"
                return self.phase
            case PhaseStarted():
                self._finished_tokens += self._last.tokens if self._last else 0
                self._last, self._rho = None, None
                self.phase = f"seed {event.seed} ({event.number} of {event.seeds}), {event.phase}"
                return self.phase
            case TrainingStep():
                self._last = event
                return ""
            case Validated():
                self._rho = event.rho
                return f"{self.phase}: {self.state()}" if self._last else ""
            case Resumed():
                return f"{self.phase}: resumed after step {event.step:,}"
            case MicroBatchHalved():
                return f"out of memory: continuing with micro-batches of {event.tokens:,} tokens"
            case SeedCompleted():
                done = "already done" if event.earlier else "done"
                return f"seed {event.seed} ({event.number} of {event.seeds}) is {done}"
            case CheckpointSaved():
                return ""

    def state(self) -> str:
        """Return step, loss, validation ρ, tokens per second, time left and memory."""
        last = self._last
        if last is None:
            return ""
        rho = _UNKNOWN if self._rho is None else f"{self._rho:.3f}"
        parts = [f"step {last.step:,}/{last.steps:,}", f"loss {last.loss:.3f}", f"validation ρ {rho}"]
        if last.seconds > 0:
            rate = last.tokens / last.seconds
            parts.append(f"{rate:,.0f} tokens/s")
            left = self._planned_tokens - self._finished_tokens - last.tokens
            if rate and left > 0:
                parts.append(f"at most {duration(left / rate / 60)} left")
        if last.memory_mb is not None:
            parts.append(f"{last.memory_mb / 1_024:.1f} GB")
        return ", ".join(parts)


def planned_line(plan: Planned) -> str:
    """Render the maximal cost of a run in one line."""
    seeds = "1 seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    time = "for an unknown time" if plan.minutes is None else f"about {duration(plan.minutes)}"
    return (
        f"{plan.trained_on:,} functions to train on, {plan.scored:,} held out, {seeds}: at most "
        f"{plan.tokens:,} tokens, {plan.flops:.1e} FLOPs, {time} on {plan.device}"
    )


def duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


@contextmanager
def progress_output() -> Iterator[Callable[[JobEvent], None]]:
    """Yield a function that shows events: as lines, and on a terminal also as a live line below them."""
    console = Console(stderr=True, highlight=False)
    lines = ProgressLines()

    def write(line: str) -> None:
        if line:
            console.print(Text(line), soft_wrap=True)

    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda event: write(lines.update(event))
        return
    with Live(Text(""), console=console, transient=True, refresh_per_second=4) as live:

        def draw(event: JobEvent) -> None:
            line = lines.update(event)
            if not isinstance(event, Validated):  # shown by the live line
                write(line)
            live.update(Text(f"{lines.phase}: {lines.state()}" if lines.state() else lines.phase))

        yield draw
