"""Failed deliveries are requested again, each fairly and none twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.handlers.installations.reconcile import (
    KEPT_FOR,
    OVERLAP,
    decide_redeliveries,
    failed_guids,
    search_start,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Attempt:
    id: int
    guid: str
    minutes_ago: float
    status_code: int = 502
    event: str = "push"
    action: str = ""

    @property
    def delivered_at(self) -> datetime:
        return NOW - timedelta(minutes=self.minutes_ago)


def decide(*sent: Attempt, handled: tuple[str, ...] = (), most: int = 100) -> tuple[int, ...]:
    return decide_redeliveries(sent, handled, NOW, most).ids


def test_failed_deliveries_are_requested_again() -> None:
    assert decide(Attempt(1, "a", 5), Attempt(2, "b", 4, status_code=202), Attempt(3, "c", 3, status_code=0)) == (1, 3)


def test_the_newest_of_several_attempts_is_redelivered() -> None:
    assert decide(Attempt(1, "a", 5), Attempt(9, "a", 1), Attempt(4, "a", 3)) == (9,)


def test_a_delivery_that_arrived_once_is_left_alone() -> None:
    assert decide(Attempt(1, "a", 5, 202), Attempt(2, "a", 1, 502)) == ()
    assert decide(Attempt(1, "a", 5, 502), Attempt(2, "a", 1, 202)) == ()


def test_a_stored_delivery_is_left_alone_even_if_github_saw_no_response() -> None:
    assert decide(Attempt(1, "a", 5, 504), handled=("a",)) == ()


def test_events_that_no_row_handles_are_left_alone() -> None:
    assert decide(Attempt(1, "a", 5, event="star", action="created"), Attempt(2, "b", 5, event="ping")) == ()
    assert decide(Attempt(3, "c", 5, event="installation", action="deleted")) == (3,)


def test_deliveries_that_github_no_longer_keeps_are_given_up() -> None:
    assert decide(Attempt(1, "a", 3 * 24 * 60), Attempt(2, "b", 3 * 24 * 60 - 1)) == (2,)


def test_a_delivery_that_keeps_failing_blocks_no_other() -> None:
    stubborn = [Attempt(id, "a", 100 - id) for id in range(5)]
    assert decide(*stubborn, Attempt(50, "b", 2), Attempt(51, "c", 1), most=2) == (50, 51)


def test_the_oldest_goes_first_because_it_is_the_first_to_be_lost() -> None:
    assert decide(Attempt(1, "a", 5), Attempt(2, "b", 50), Attempt(3, "c", 10), most=2) == (2, 3)


def test_only_failed_deliveries_are_looked_up() -> None:
    assert failed_guids([Attempt(1, "a", 5), Attempt(2, "b", 5, 200), Attempt(3, "c", 5, event="star")]) == {"a"}


def test_without_a_cursor_everything_that_github_keeps_is_read() -> None:
    assert search_start(None, NOW) == NOW - KEPT_FOR
    assert search_start(NOW - timedelta(days=9), NOW) == NOW - KEPT_FOR


def test_reading_resumes_with_an_overlap() -> None:
    assert search_start(NOW - timedelta(hours=2), NOW) == NOW - timedelta(hours=2) - OVERLAP
    assert search_start(NOW + timedelta(days=1), NOW) == NOW - OVERLAP


ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        id=st.integers(1, 10**6),
        guid=st.sampled_from("abcdef"),
        minutes_ago=st.integers(0, 3 * 24 * 60),
        status_code=st.sampled_from([0, 200, 202, 401, 500, 504]),
    ),
    max_size=20,
)


@given(ATTEMPTS, st.sets(st.sampled_from("abcdef")), st.integers(1, 3))
def test_missing_deliveries_are_read_again_the_next_time(sent: list[Attempt], handled: set[str], most: int) -> None:
    decided = decide_redeliveries(sent, handled, NOW, most)
    assert len(decided.ids) <= most
    assert decided.cursor <= NOW
    since = search_start(decided.cursor, NOW)
    for attempt in sent:
        arrived = any(200 <= other.status_code < 300 for other in sent if other.guid == attempt.guid)
        if not arrived and attempt.guid not in handled and attempt.delivered_at > NOW - KEPT_FOR:
            assert attempt.delivered_at >= since
