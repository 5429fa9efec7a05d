from dataclasses import dataclass

import pytest

from bot.setup.guard import GUESSING_S, MOST_GUESSES, MOST_STATES, STATE_S, SetupGuard


@dataclass
class Watch:
    """Seconds that pass when a test says so."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def guard(watch: Watch) -> SetupGuard:
    return SetupGuard(watch)


def test_the_token_opens_as_often_as_it_is_shown(guard: SetupGuard) -> None:
    assert len(guard.token) >= 43  # 256 bits
    assert guard.admits(guard.token)
    assert guard.admits(guard.token)


@pytest.mark.parametrize("wrong", ["", "x", "é\udcff", "\0"])
def test_nothing_else_opens(guard: SetupGuard, wrong: str) -> None:
    assert not guard.admits(wrong)
    assert not guard.admits(guard.token + wrong + "x")
    assert not guard.admits(guard.token[:-1])


def test_two_guards_do_not_share_a_token(watch: Watch) -> None:
    assert SetupGuard(watch).token != SetupGuard(watch).token


def test_after_too_many_guesses_nobody_is_admitted_for_a_minute(guard: SetupGuard, watch: Watch) -> None:
    for _ in range(MOST_GUESSES - 1):
        guard.admits("guess")
    assert guard.admits(guard.token)
    guard.admits("guess")
    assert not guard.admits(guard.token)
    watch.now_s += GUESSING_S
    assert guard.admits(guard.token)


def test_who_says_nothing_does_not_guess(guard: SetupGuard) -> None:
    for _ in range(MOST_GUESSES * 2):
        guard.admits("")
        guard.redeem("")
    assert guard.admits(guard.token)


def test_guessing_a_state_is_guessing(guard: SetupGuard) -> None:
    state = guard.hand_out_state()
    for _ in range(MOST_GUESSES):
        guard.redeem("guess")
    assert not guard.redeem(state)
    assert not guard.admits(guard.token)


def test_a_state_is_good_once(guard: SetupGuard) -> None:
    first, second = guard.hand_out_state(), guard.hand_out_state()
    assert guard.redeem(first)
    assert not guard.redeem(first)
    assert guard.redeem(second)
    assert not guard.redeem(guard.token)


def test_a_state_is_good_for_an_hour(guard: SetupGuard, watch: Watch) -> None:
    early = guard.hand_out_state()
    watch.now_s += 1
    late = guard.hand_out_state()
    watch.now_s += STATE_S - 1
    assert not guard.redeem(early)
    assert guard.redeem(late)


def test_forms_shown_again_and_again_do_not_pile_up(guard: SetupGuard) -> None:
    states = [guard.hand_out_state() for _ in range(MOST_STATES + 1)]
    assert not guard.redeem(states[0])
    assert guard.redeem(states[1])
    assert guard.redeem(states[-1])
