"""What becomes of a run whose process has ended: one pure function. Every sentence may be read on GitHub."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.gpu_worker.training_task import Answer, Delivered, Died, Failure, Halted
from bot.records import RunEnding
from bot.runs.estimate import LOADING_MINUTES, MIN_MINUTES

MOST_ATTEMPTS: Final = 3  # of what may go better another time
PAUSE_S: Final = 15.0  # before the next one
LIMIT_FACTOR: Final = 1.25
LIMIT_EXTRA_MINUTES: Final = 10.0

CANCELLED: Final = "it was cancelled while it was at work"
STOPPED: Final = "its GPU worker was stopped: it goes on from its last checkpoint"


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends."""

    ending: RunEnding
    reason: str = ""
    result: Mapping[str, Any] | None = None
    recipe_id: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """It goes back to the queue; whoever takes it goes on from its checkpoint."""

    reason: str
    counts: bool = True  # as an attempt
    pause_s: float = PAUSE_S


def decide(answer: Answer, attempts: int) -> Finish | Again:
    """`attempts` were begun so far, this one included."""
    match answer:
        case Delivered(result, recipe_id, files):
            return Finish("finished", "", result, recipe_id, files)
        case Halted():
            return Again(STOPPED, counts=False, pause_s=0.0)
        case Failure("device", sentence) | Failure("store", sentence):
            return _again(sentence.partition(" (")[0], attempts)
        case Failure(_, sentence):
            return Finish("crashed", sentence)
        case Died(exit_code):
            return _again(_how(exit_code), attempts)


def training_minutes(limit: float, reserved: float) -> float:
    """What a run may train, where the operator allows `limit` minutes and so many are reserved for all of it."""
    return min(limit, max(reserved - LOADING_MINUTES, MIN_MINUTES)) if reserved else limit


def most_minutes(limit: float, reserved: float = 0.0) -> float:
    """Of all attempts together, loading and judging included: never more than was reserved."""
    most = LIMIT_FACTOR * limit + LIMIT_EXTRA_MINUTES
    return min(most, reserved) if reserved else most


def timed_out(limit: float, reserved: float = 0.0) -> Finish:
    return Finish(
        "timed_out",
        f"it was stopped after {most_minutes(limit, reserved):,.0f} minutes: {limit:,g} minutes of training are "
        "allowed, and loading and judging took longer than the rest",
    )


def cancelled() -> Finish:
    return Finish("cancelled", CANCELLED)


def refused(sentence: str) -> Finish:
    return Finish("refused", sentence)


def _again(sentence: str, attempts: int) -> Finish | Again:
    if attempts < MOST_ATTEMPTS:
        return Again(f"{sentence}: it goes on from its last checkpoint")
    return Finish("crashed", f"{sentence}; it was begun {attempts} times")


def _how(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "the process that trains was killed: the machine may be short of memory"
    if exit_code < 0:
        return f"the process that trains crashed (signal {-exit_code})"
    return f"the process that trains ended without a word (exit status {exit_code})"
