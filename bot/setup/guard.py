"""Access control of the setup page: its secret token, and the state that GitHub sends back. Pure."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Callable

MAX_GUESSES = 20  # wrong tokens and states per window; above this, everyone is locked out for a while
GUESS_WINDOW_S = 60.0
STATE_LIFETIME_S = 3_600.0  # GitHub's own limit for the whole flow
MAX_STATES = 20  # registrations in progress; the oldest is dropped


class SetupGuard:
    """Checks the token, valid until the App is registered, and issued states, each valid once.

    `seconds` is a monotonic clock. Comparisons take constant time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.token = secrets.token_urlsafe(32)
        self._seconds = seconds
        self._guesses: deque[float] = deque(maxlen=MAX_GUESSES)
        self._states: dict[str, float] = {}

    def admits(self, token: str) -> bool:
        """Return whether this is the token. A wrong token counts as a guess, an empty one does not."""
        return bool(token) and not self._is_locked() and self._record(_equal(token, self.token))

    def issue_state(self) -> str:
        """Return a new state for one registration."""
        while len(self._states) >= MAX_STATES:
            del self._states[next(iter(self._states))]
        state = secrets.token_urlsafe(32)
        self._states[state] = self._seconds() + STATE_LIFETIME_S
        return state

    def redeem(self, state: str) -> bool:
        """Return whether this state was issued within the hour and not redeemed yet."""
        if not state or self._is_locked():
            return False
        now = self._seconds()
        self._states = {known: until for known, until in self._states.items() if until > now}
        matching = [known for known in self._states if _equal(state, known)]
        for known in matching:
            del self._states[known]
        return self._record(bool(matching))

    def _record(self, is_correct: bool) -> bool:
        if not is_correct:
            self._guesses.append(self._seconds())
        return is_correct

    def _is_locked(self) -> bool:
        return len(self._guesses) == MAX_GUESSES and self._seconds() - self._guesses[0] < GUESS_WINDOW_S


def _equal(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
