"""What follows each kind of error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.github.errors import (
    BadToken,
    Blocked,
    Deleted,
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
from bot.jobs.retry import (
    MAX_PAUSE_S,
    Again,
    Failed,
    Gone,
    NotYet,
    Paused,
    StillAway,
    TimedOut,
    decide,
    is_bug,
    pause,
    probe_at,
)
from bot.messages import reasons
from bot.store.errors import StoreConflict, StoreUnavailable
from pipeline.records import AssayError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def in_s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def waits(seconds: float, reason: str) -> Again:
    return Again(in_s(seconds), reason, counts=False, outage=True)


def test_an_outage_is_waited_for_as_long_again_as_it_has_lasted_and_for_three_days() -> None:
    minute, day = timedelta(minutes=1), timedelta(days=1)
    cases: list[tuple[timedelta, object]] = [
        (timedelta(seconds=5), waits(15, "GitHub cannot be reached")),
        (1 * minute, waits(60, "GitHub cannot be reached")),
        (8 * minute, waits(480, "GitHub cannot be reached")),
        (60 * minute, waits(1_200, "GitHub cannot be reached")),
        (2.99 * day, waits(1_200, "GitHub cannot be reached")),
        (3 * day, Failed("GitHub cannot be reached", outage=True)),
    ]
    for lasted, expected in cases:
        assert decide(Unavailable("502"), 1, NOW, failing_since=NOW - lasted) == expected
        longest = decide(Unavailable("502"), 1, NOW, 1.5, NOW - lasted)
        assert isinstance(longest, Failed) or longest.at - NOW <= timedelta(minutes=30)  # type: ignore[union-attr]


def test_one_job_of_a_kind_finds_out_within_minutes_that_github_is_back() -> None:
    far = waits(1_200, "away")
    assert probe_at(far, None, NOW) == in_s(300), "no other job will tell"
    assert probe_at(far, in_s(900), NOW) == in_s(300)
    assert probe_at(far, in_s(200), NOW) == far.at, "another one is tried soon"
    assert probe_at(waits(15, "away"), None, NOW) == in_s(15)


def test_a_permanent_refusal_is_told_in_its_own_words() -> None:
    cases = [
        ("403", reasons.ACCESS_DENIED),
        ("HTTP 403", reasons.ACCESS_DENIED),
        ("Resource not accessible by integration", reasons.ACCESS_DENIED),
        ("the `acme` organization has an IP allow list enabled, and your IP address is not", reasons.IP_ALLOW_LIST),
        ("Repository was archived so is read-only.", reasons.ARCHIVED),
        ("Repository access blocked", reasons.BLOCKED),
        ("Sorry. Your account was suspended.", reasons.ACCOUNT_SUSPENDED),
        ("Resource protected by organization SAML enforcement.", reasons.SINGLE_SIGN_ON),
        ("This repository has been disabled.", reasons.DISABLED),
    ]
    for error in (Forbidden, Blocked):
        for sentence, words in cases:
            decision = decide(error(sentence), 1, NOW)
            assert isinstance(decision, Failed)
            assert decision.reason.startswith(words), sentence
            assert ("GitHub says" in decision.reason) is ("403" not in sentence), "its own sentence is kept"


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
        (BadToken("401"), 3, waits(15, "GitHub refused the token")),
        (Unavailable("502"), 1, waits(15, "GitHub cannot be reached")),
        (Unavailable("502"), 500, waits(15, "GitHub cannot be reached")),
        (StillAway("the clone"), 1, waits(15, "the clone")),
        (
            Deleted("Issues are disabled for this repo"),
            1,
            Gone(
                "GitHub reports that it was deleted or is turned off (GitHub says: Issues are disabled for this repo)"
            ),
        ),
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
