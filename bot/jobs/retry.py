"""Decide what happens to a job whose handler raised: a pure function of the error, the attempts and the time.

Only the text of our own errors is repeated, because it contains no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.github.errors import (
    BadToken,
    Deleted,
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
HOPELESS_AFTER: Final = timedelta(days=3)  # of failures because of GitHub, the network, the clock or the key
MAX_OUTAGE_PAUSE_S: Final = 1_200.0  # times a jitter of up to 1.5: half an hour
PROBE_PAUSE: Final = timedelta(minutes=5)  # between attempts of one job at least, which tells when GitHub is back


class NotYet(Exception):
    """Raised by a handler that has to wait. `counts`: whether this was an attempt."""

    def __init__(self, until: datetime, reason: str, *, counts: bool = False) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.counts = counts


class StillAway(Exception):
    """Raised by a handler for a failure of GitHub or the network that it learnt of in another way than an error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TimedOut(Exception):
    """The handler was stopped at its deadline."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again at `at`. `counts`: whether the failed attempt counts towards the limit.

    `outage`: GitHub or the network failed, so what limits the attempts is their time and not their number.
    """

    at: datetime
    reason: str
    counts: bool = True
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """Another attempt would fail as well. `outage`: GitHub or the network has been failing for days."""

    reason: str
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """GitHub reported "not found": ask it whether the repository or the installation is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The installation is suspended: its jobs wait until it is active again."""

    reason: str


Decision = Again | Failed | Gone | Paused


def decide(
    error: BaseException, attempts: int, now: datetime, jitter: float = 1.0, failing_since: datetime | None = None
) -> Decision:
    """Decide what follows an error.

    `attempts` counts the failed one; `jitter` in [0.5, 1.5] spreads the waits of many jobs. `failing_since`: of earlier
    attempts, if GitHub or the network failed.
    """
    match error:
        case NotYet():
            return Again(error.until, error.reason, error.counts)
        case RateLimited():
            return Again(max(error.until, now), reasons.RATE_LIMITED, counts=False)
        case Suspended():
            return Paused(reasons.INSTALLATION_SUSPENDED)
        case Deleted():
            return Gone(reasons.quoting(reasons.GONE_FROM_GITHUB, str(error)))
        case NotFound():
            return Gone(reasons.NOT_ON_GITHUB)
        case BadToken():
            if attempts < MAX_TOKENS:
                return Again(now, reasons.FRESH_TOKEN)
            return wait_for_github(failing_since, now, reasons.TOKEN_REFUSED, jitter)
        case Unavailable():
            return wait_for_github(failing_since, now, reasons.GITHUB_UNREACHABLE, jitter)
        case StillAway():
            return wait_for_github(failing_since, now, error.reason, jitter)
        case Forbidden():
            return Failed(reasons.refused(str(error)))
        case ForeignRedirect():
            return Failed(reasons.REDIRECTED)
        case Rejected() | GitHubError():  # also for a commit that not all of GitHub has seen yet
            return retry(attempts, now, reasons.quoting(reasons.REQUEST_REJECTED, str(error)), jitter)
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
    return not isinstance(error, NotYet | StillAway | TimedOut | GitHubError | AssayError)


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


def wait_for_github(failing_since: datetime | None, now: datetime, reason: str, jitter: float = 1.0) -> Again | Failed:
    """Wait as long again as it has been failing, 15 s at least and half an hour at most; for three days."""
    failing = timedelta() if failing_since is None else now - failing_since
    if failing >= HOPELESS_AFTER:
        return Failed(reason, outage=True)
    seconds = min(max(failing.total_seconds(), FIRST_PAUSE_S), MAX_OUTAGE_PAUSE_S)
    return Again(now + timedelta(seconds=seconds * jitter), reason, counts=False, outage=True)


def probe_at(again: Again, next_at: datetime | None, now: datetime, jitter: float = 1.0) -> datetime:
    """Return when to try again, so that some job of its kind finds out soon that GitHub is back.

    `next_at`: when another one is tried next. The first that succeeds lets all others try at once.
    """
    soon = now + PROBE_PAUSE
    if next_at is not None and next_at <= soon:
        return again.at
    return min(again.at, now + PROBE_PAUSE * jitter)
