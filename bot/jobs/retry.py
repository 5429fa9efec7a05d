"""What becomes of a job whose handler raised: one pure function of the error, the attempts and the time.

Nothing of an error's own text is repeated but that of our own errors: their sentences hold no secret.
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
from bot.store.errors import StoreConflict
from pipeline.records import AssayError

MOST_ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 1_800.0
CONFLICT_PAUSE: Final = timedelta(seconds=1)
TOKENS_TRIED: Final = 3  # the first and two fresh ones


class NotYet(Exception):
    """Raised by a handler that has to wait for something. `counts`: whether this was one of its attempts."""

    def __init__(self, until: datetime, reason: str, *, counts: bool = False) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.counts = counts


class TookTooLong(Exception):
    """A handler that went past its deadline and was stopped."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again at `at`. `counts`: whether the attempt that failed is one of the five."""

    at: datetime
    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no sense in trying again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """GitHub knows nothing of it: ask whether the repository or the installation is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The installation is suspended: its jobs wait until it is not."""

    reason: str


Decision = Again | Failed | Gone | Paused


def decide(error: BaseException, attempts: int, now: datetime, jitter: float = 1.0) -> Decision:
    """What comes next. `attempts` were begun so far, the failed one included; `jitter` in [0.5, 1.5] spreads waits."""
    match error:
        case NotYet():
            return Again(error.until, error.reason, error.counts)
        case RateLimited():
            return Again(max(error.until, now), "GitHub's rate limit", counts=False)
        case Suspended():
            return Paused("the installation is suspended")
        case NotFound():
            return Gone("GitHub says that it is not there")
        case BadToken():
            if attempts < TOKENS_TRIED:
                return Again(now, "GitHub refused the token: with a fresh one")
            return again(attempts, now, "GitHub refused the token", jitter)
        case Unavailable():
            return again(attempts, now, "GitHub cannot be reached", jitter)
        case Forbidden():
            return Failed("GitHub forbids it: look at the App's permissions")
        case ForeignRedirect():
            return Failed("GitHub redirected to another host: check ASSAY_GITHUB_URL")
        case Rejected() | GitHubError():  # also of a commit that GitHub has not heard of everywhere yet
            return again(attempts, now, "GitHub rejected the request", jitter)
        case TookTooLong():
            return again(attempts, now, "it took too long", jitter)
        case StoreConflict():
            return Again(now + CONFLICT_PAUSE * jitter, str(error), counts=False)
        case AssayError():
            return again(attempts, now, str(error), jitter)
        case _:
            return again(attempts, now, f"a bug in Assay ({type(error).__name__}): the log tells where", jitter)


def is_a_bug(error: BaseException) -> bool:
    """Whether its traceback is worth a look: nothing that GitHub, a user or a limit is to blame for."""
    return not isinstance(error, NotYet | TookTooLong | GitHubError | AssayError)


def error_fields(error: BaseException) -> dict[str, object]:
    """What a log line says of an error: our own sentences, and of a bug where it is."""
    if is_a_bug(error):
        return {"problem": type(error).__name__, "exc_info": error}
    return {"problem": type(error).__name__, "said": str(error)}


def pause(attempts: int, jitter: float = 1.0) -> timedelta:
    """Twice as long each time: 15 s, 30 s, 1 min, ... at most half an hour, times `jitter`."""
    seconds = FIRST_PAUSE_S * 2.0 ** min(max(attempts, 1) - 1, 16)
    return timedelta(seconds=min(seconds, LONGEST_PAUSE_S) * jitter)


def again(attempts: int, now: datetime, reason: str, jitter: float = 1.0) -> Again | Failed:
    """After a pause, unless that was the last of the five."""
    if attempts >= MOST_ATTEMPTS:
        return Failed(reason)
    return Again(now + pause(attempts, jitter), reason)
