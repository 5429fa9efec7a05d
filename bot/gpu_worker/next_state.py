"""Decide the next state of a run whose training process has ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.gpu_worker.training_task import Delivered, Died, Failure, Reply, Stopped
from bot.messages import reasons
from bot.records import RunEnding
from bot.runs.estimate import LOADING_MINUTES, MIN_MINUTES

MAX_ATTEMPTS: Final = 3  # after failures that a retry may fix
PAUSE_S: Final = 15.0  # before the next attempt
STORE_PAUSE_S: Final = 60.0  # and five times as long the next time: a store that is away comes back within minutes
LIMIT_FACTOR: Final = 1.25
LIMIT_EXTRA_MINUTES: Final = 10.0


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends."""

    ending: RunEnding
    reason: str = ""
    result: Mapping[str, Any] | None = None
    recipe_id: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Requeue:
    """The run returns to the queue; the next attempt resumes from its last checkpoint."""

    reason: str
    counts: bool = True  # towards MAX_ATTEMPTS
    pause_s: float = PAUSE_S


def decide(reply: Reply, attempts: int) -> Finish | Requeue:
    """Return the next state after the child's reply; `attempts` counts this attempt too."""
    match reply:
        case Delivered(result, recipe_id, files):
            return Finish("finished", "", result, recipe_id, files)
        case Stopped():
            return Requeue(reasons.WORKER_STOPPED, counts=False, pause_s=0.0)
        case Failure("store", sentence):
            return _requeue(sentence.partition(" (")[0], attempts, STORE_PAUSE_S * 5.0 ** (attempts - 1))
        case Failure("device", sentence):
            return _requeue(sentence.partition(" (")[0], attempts)
        case Failure(_, sentence):
            return Finish("crashed", sentence)
        case Died(exit_code):
            return _requeue(reasons.died(exit_code), attempts)


def training_minutes(limit: float, reserved: float) -> float:
    """Return how long a run may train under the operator's limit and the minutes reserved (0: none) for all of it."""
    return min(limit, max(reserved - LOADING_MINUTES, MIN_MINUTES)) if reserved else limit


def max_total_minutes(limit: float, reserved: float = 0.0) -> float:
    """Return the limit on all attempts together, loading and judging included: at most what was reserved."""
    minutes = LIMIT_FACTOR * limit + LIMIT_EXTRA_MINUTES
    return min(minutes, reserved) if reserved else minutes


def timed_out(limit: float, reserved: float = 0.0) -> Finish:
    """End a run that exceeded its time limit."""
    return Finish("timed_out", reasons.timed_out(max_total_minutes(limit, reserved), limit))


def cancelled() -> Finish:
    """End a run that was cancelled while it ran."""
    return Finish("cancelled", reasons.CANCELLED_AT_WORK)


def refused(sentence: str) -> Finish:
    """End a run that cannot be started."""
    return Finish("refused", sentence)


def _requeue(sentence: str, attempts: int, pause_s: float = PAUSE_S) -> Finish | Requeue:
    if attempts < MAX_ATTEMPTS:
        return Requeue(reasons.resumes(sentence), pause_s=pause_s)
    return Finish("crashed", reasons.gave_up(sentence, attempts))
