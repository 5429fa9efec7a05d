"""What follows each kind of error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.github.errors import (
    BadToken,
    Forbidden,
    ForeignRedirect,
    InstallationGone,
    Moved,
    NotFound,
    RateLimited,
    Rejected,
    Suspended,
    Unavailable,
)
from bot.jobs.retry import MAX_PAUSE_S, Again, Failed, Gone, NotYet, Paused, TimedOut, decide, is_bug, pause
from bot.store.errors import StoreConflict, StoreUnavailable
from pipeline.records import AssayError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def in_s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_each_error_has_its_decision() -> None:
    cases: list[tuple[Exception, int, object]] = [
        (NotYet(LATER, "no room"), 5, Again(LATER, "no room", counts=False)),
        (NotYet(LATER, "no room", counts=True), 2, Again(LATER, "no room")),
        (RateLimited("slow down", LATER), 5, Again(LATER, "GitHub's rate limit", counts=False)),
        (RateLimited("slow down", NOW - timedelta(hours=1)), 1, Again(NOW, "GitHub's rate limit", counts=False)),
        (Suspended("403"), 1, Paused("the installation is suspended")),
        (NotFound("404"), 1, Gone("GitHub reports that it does not exist")),
        (InstallationGone("404"), 1, Gone("GitHub reports that it does not exist")),
        (Moved("301"), 1, Gone("GitHub reports that it does not exist")),
        (BadToken("401"), 1, Again(NOW, "GitHub refused the token: retrying with a fresh one")),
        (BadToken("401"), 2, Again(NOW, "GitHub refused the token: retrying with a fresh one")),
        (BadToken("401"), 3, Again(in_s(60), "GitHub refused the token")),
        (BadToken("401"), 5, Failed("GitHub refused the token")),
        (Unavailable("502"), 1, Again(in_s(15), "GitHub cannot be reached")),
        (Unavailable("502"), 4, Again(in_s(120), "GitHub cannot be reached")),
        (Unavailable("502"), 5, Failed("GitHub cannot be reached")),
        (Forbidden("403"), 1, Failed("GitHub denied access: check the App's permissions")),
        (Rejected("422"), 1, Again(in_s(15), "GitHub rejected the request")),
        (Rejected("422"), 5, Failed("GitHub rejected the request")),
        (ForeignRedirect("301"), 1, Failed("GitHub redirected to another host: check ASSAY_GITHUB_URL")),
        (TimedOut(), 1, Again(in_s(15), "it timed out")),
        (StoreConflict("in the way"), 5, Again(in_s(1), "in the way", counts=False)),
        (StoreUnavailable("away"), 1, Again(in_s(15), "away")),
        (AssayError("do this"), 1, Again(in_s(15), "do this")),
        (AssayError("do this"), 5, Failed("do this")),
        (KeyError("a token"), 1, Again(in_s(15), "a bug in Assay (KeyError): see the log")),
        (KeyError("a token"), 5, Failed("a bug in Assay (KeyError): see the log")),
    ]
    wrong = [
        (error, attempts, got, expected)
        for error, attempts, expected in cases
        if (got := decide(error, attempts, NOW)) != expected
    ]
    assert wrong == []


def test_only_bugs_get_a_traceback() -> None:
    assert is_bug(KeyError("x"))
    assert not any(map(is_bug, [Unavailable("x"), AssayError("x"), NotYet(NOW, "x"), TimedOut()]))


@given(st.integers(-3, 10_000), st.floats(0.5, 1.5))
def test_pauses_grow_up_to_a_limit(attempts: int, jitter: float) -> None:
    assert timedelta() < pause(attempts, jitter) <= timedelta(seconds=MAX_PAUSE_S) * jitter
    assert pause(attempts, jitter) <= pause(attempts + 1, jitter)
