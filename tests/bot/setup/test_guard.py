from dataclasses import dataclass

import pytest

from bot.setup.guard import GUESS_WINDOW_S, MAX_GUESSES, MAX_STATES, STATE_LIFETIME_S, SetupGuard
from tests.rows import each_row


@dataclass
class Watch:
    """A clock that a test advances."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def guard(watch: Watch) -> SetupGuard:
    return SetupGuard(watch)


def test_the_token_works_repeatedly(guard: SetupGuard) -> None:
    assert len(guard.token) >= 43  # 256 bits
    assert guard.admits(guard.token)
    assert guard.admits(guard.token)


@each_row("wrong", ["", "x", "é\udcff", "\0"])
def test_no_other_token_works(guard: SetupGuard, wrong: str) -> None:
    assert not guard.admits(wrong)
    assert not guard.admits(guard.token + wrong + "x")
    assert not guard.admits(guard.token[:-1])


def test_guards_have_different_tokens(watch: Watch) -> None:
    assert SetupGuard(watch).token != SetupGuard(watch).token


def test_too_many_guesses_lock_everyone_out_for_a_minute(guard: SetupGuard, watch: Watch) -> None:
    for _ in range(MAX_GUESSES - 1):
        guard.admits("guess")
    assert guard.admits(guard.token)
    guard.admits("guess")
    assert not guard.admits(guard.token)
    watch.now_s += GUESS_WINDOW_S
    assert guard.admits(guard.token)


def test_an_empty_token_is_not_a_guess(guard: SetupGuard) -> None:
    for _ in range(MAX_GUESSES * 2):
        guard.admits("")
        guard.redeem("")
    assert guard.admits(guard.token)


def test_a_wrong_state_is_a_guess(guard: SetupGuard) -> None:
    state = guard.issue_state()
    for _ in range(MAX_GUESSES):
        guard.redeem("guess")
    assert not guard.redeem(state)
    assert not guard.admits(guard.token)


def test_a_state_is_valid_once(guard: SetupGuard) -> None:
    first, second = guard.issue_state(), guard.issue_state()
    assert guard.redeem(first)
    assert not guard.redeem(first)
    assert guard.redeem(second)
    assert not guard.redeem(guard.token)


def test_a_state_is_valid_for_an_hour(guard: SetupGuard, watch: Watch) -> None:
    early = guard.issue_state()
    watch.now_s += 1
    late = guard.issue_state()
    watch.now_s += STATE_LIFETIME_S - 1
    assert not guard.redeem(early)
    assert guard.redeem(late)


def test_issued_states_are_bounded(guard: SetupGuard) -> None:
    states = [guard.issue_state() for _ in range(MAX_STATES + 1)]
    assert not guard.redeem(states[0])
    assert guard.redeem(states[1])
    assert guard.redeem(states[-1])
