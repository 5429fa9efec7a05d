"""Decide what happens to a job whose handler raised: a pure function of the error, the attempts and the time.

Only the text of our own errors is repeated, because it contains no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.github.errors import (
    BadToken,
    Forbidden,
    ForeignRedirect,
    GitHubError,
    NotFound,
    RateLimited,
    Rejected,
    Suspended,
    Unavailable,
)
from bot.messages import reasons
from bot.store.errors import StoreConflict
from pipeline.records import AssayError

MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 15.0
MAX_PAUSE_S: Final = 1_800.0
CONFLICT_PAUSE: Final = timedelta(seconds=1)
MAX_TOKENS: Final = 3  # the first and two fresh ones


class NotYet(Exception):
    """Raised by a handler that has to wait. `counts`: whether this was an attempt."""

    def __init__(self, until: datetime, reason: str, *, counts: bool = False) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.counts = counts


class TimedOut(Exception):
    """The handler was stopped at its deadline."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again at `at`. `counts`: whether the failed attempt counts towards the limit."""

    at: datetime
    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """Another attempt would fail as well."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """GitHub reported "not found": ask it whether the repository or the installation is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The installation is suspended: its jobs wait until it is active again."""

    reason: str


Decision = Again | Failed | Gone | Paused


def decide(error: BaseException, attempts: int, now: datetime, jitter: float = 1.0) -> Decision:
    """Decide what follows an error.

    `attempts` counts the failed one; `jitter` in [0.5, 1.5] spreads the waits of many jobs.
    """
    match error:
        case NotYet():
            return Again(error.until, error.reason, error.counts)
        case RateLimited():
            return Again(max(error.until, now), reasons.RATE_LIMITED, counts=False)
        case Suspended():
            return Paused(reasons.INSTALLATION_SUSPENDED)
        case NotFound():
            return Gone(reasons.NOT_ON_GITHUB)
        case BadToken():
            if attempts < MAX_TOKENS:
                return Again(now, reasons.FRESH_TOKEN)
            return retry(attempts, now, reasons.TOKEN_REFUSED, jitter)
        case Unavailable():
            return retry(attempts, now, reasons.GITHUB_UNREACHABLE, jitter)
        case Forbidden():
            return Failed(reasons.ACCESS_DENIED)
        case ForeignRedirect():
            return Failed(reasons.REDIRECTED)
        case Rejected() | GitHubError():  # also for a commit that not all of GitHub has seen yet
            return retry(attempts, now, reasons.REQUEST_REJECTED, jitter)
        case TimedOut():
            return retry(attempts, now, reasons.JOB_TIMED_OUT, jitter)
        case StoreConflict():
            return Again(now + CONFLICT_PAUSE * jitter, str(error), counts=False)
        case AssayError():
            return retry(attempts, now, str(error), jitter)
        case _:
            return retry(attempts, now, reasons.job_bug(type(error).__name__), jitter)


def is_bug(error: BaseException) -> bool:
    """Return whether the error is a bug of ours: not caused by GitHub, a user or a limit."""
    return not isinstance(error, NotYet | TimedOut | GitHubError | AssayError)


def error_fields(error: BaseException) -> dict[str, object]:
    """Return the fields of a log line: our own errors with their text, a bug with its traceback."""
    if is_bug(error):
        return {"problem": type(error).__name__, "exc_info": error}
    return {"problem": type(error).__name__, "message": str(error)}


def pause(attempts: int, jitter: float = 1.0) -> timedelta:
    """Return the exponential backoff: 15 s, 30 s, 1 min, ... up to half an hour, times `jitter`."""
    seconds = FIRST_PAUSE_S * 2.0 ** min(max(attempts, 1) - 1, 16)
    return timedelta(seconds=min(seconds, MAX_PAUSE_S) * jitter)


def retry(attempts: int, now: datetime, reason: str, jitter: float = 1.0) -> Again | Failed:
    """Retry after a pause, or fail after the last attempt."""
    if attempts >= MAX_ATTEMPTS:
        return Failed(reason)
    return Again(now + pause(attempts, jitter), reason)
