"""Who may use the setup page: whoever holds the token, and GitHub's answer to a form that was sent from it. Pure."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Callable

MOST_GUESSES = 20  # wrong tokens and states, in so many seconds; after that nobody is admitted for a while
GUESSING_S = 60.0
STATE_S = 3_600.0  # GitHub's own limit for the whole flow
MOST_STATES = 20  # forms that wait for GitHub's answer at once; the oldest gives way


class SetupGuard:
    """Holds one token, good until the App is registered, and the states handed out, each good once.

    `seconds` is a clock that only goes forward. Everything is compared in constant time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.token = secrets.token_urlsafe(32)
        self._seconds = seconds
        self._wrong: deque[float] = deque(maxlen=MOST_GUESSES)
        self._states: dict[str, float] = {}

    def admits(self, token: str) -> bool:
        """Is this the token? A wrong one counts as a guess; none at all does not."""
        return bool(token) and not self._is_being_guessed() and self._judge(_equal(token, self.token))

    def hand_out_state(self) -> str:
        while len(self._states) >= MOST_STATES:
            del self._states[next(iter(self._states))]
        state = secrets.token_urlsafe(32)
        self._states[state] = self._seconds() + STATE_S
        return state

    def redeem(self, state: str) -> bool:
        """Was this state handed out within the hour, and not redeemed before?"""
        if not state or self._is_being_guessed():
            return False
        now = self._seconds()
        self._states = {known: until for known, until in self._states.items() if until > now}
        matching = [known for known in self._states if _equal(state, known)]
        for known in matching:
            del self._states[known]
        return self._judge(bool(matching))

    def _judge(self, right: bool) -> bool:
        if not right:
            self._wrong.append(self._seconds())
        return right

    def _is_being_guessed(self) -> bool:
        return len(self._wrong) == MOST_GUESSES and self._seconds() - self._wrong[0] < GUESSING_S


def _equal(said: str, known: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), known.encode())
