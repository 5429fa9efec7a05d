"""Read bodies before anybody knows who sent them: the time and the memory for that are bounded.

A signature covers the whole body, so all of it has to be held before it can be verified. Small bodies, which nearly all
deliveries are, never wait for larger ones. Of the larger ones, those in progress share a budget; where it is used up,
the slowest body of the peer that holds most makes room, so that nobody keeps others out by not finishing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from starlette.requests import ClientDisconnect, Request

MAX_BYTES: Final = 25 * 1024 * 1024  # GitHub's limit for a delivery
SMALL_BYTES: Final = 64 * 1024  # more than nearly every delivery; not counted
HUGE_BYTES: Final = 1024 * 1024
MAX_MEDIUM_BYTES: Final = 32 * HUGE_BYTES  # of all bodies together, between SMALL_BYTES and HUGE_BYTES of each
MAX_BUFFERED_BYTES: Final = 2 * MAX_BYTES  # of all bodies together, above HUGE_BYTES of each
READ_TIMEOUT_S: Final = 30.0  # the longest that any GitHub waits for a response
FIRST_S: Final = 10.0  # for a small body; github.com waits no longer
BYTES_PER_S: Final = 1024 * 1024  # received: each gives the body another second
STALLED_BYTES_PER_S: Final = 64 * 1024  # slower ones make room for others, even for those of the same peer
WINDOW_S: Final = 1.0  # in which the rate is measured

Reason = Literal["too large", "busy", "slow", "cut off"]


class BodyRefused(Exception):
    """Raised to give up reading a body."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(eq=False)
class Body:
    """A body in memory. It can be told to make room only while it is being read."""

    peer: str
    data: bytearray = field(default_factory=bytearray)
    reading: asyncio.Timeout | None = None
    makes_room: bool = False
    _window_s: float = field(default_factory=time.monotonic)
    _grew_at_s: float = field(default_factory=time.monotonic)
    _before_window: int = 0
    _last_bytes_per_s: float = math.inf

    def counted(self, low: int, high: int) -> int:
        """Return how many of its bytes count towards the budget of those between `low` and `high`."""
        return 0 if self.makes_room else _part(len(self.data), low, high)

    def add(self, chunk: bytes) -> None:
        now_s = time.monotonic()
        if now_s - self._window_s >= WINDOW_S:
            self._last_bytes_per_s = self.bytes_per_s(now_s)
            self._window_s, self._before_window = now_s, len(self.data)
        self.data += chunk
        self._grew_at_s = now_s

    def bytes_per_s(self, now_s: float) -> float:
        """Return how fast it has been growing of late; infinity if it is too early to tell."""
        if now_s - self._grew_at_s >= WINDOW_S:
            return 0.0
        if now_s - self._window_s < WINDOW_S:
            return self._last_bytes_per_s
        return (len(self.data) - self._before_window) / (now_s - self._window_s)

    def make_room(self) -> None:
        self.makes_room = True
        if self.reading is not None:
            self.reading.reschedule(0)  # in the past: the reader gets its TimeoutError at once


class Bodies:
    """All bodies that a server holds."""

    def __init__(self) -> None:
        self._held: set[Body] = set()

    @contextmanager
    def hold(self, peer: str) -> Iterator[Body]:
        """Count a body in for the context."""
        body = Body(peer)
        self._held.add(body)
        try:
            yield body
        finally:
            self._held.discard(body)

    async def read(self, request: Request, body: Body) -> None:
        """Read all of a body. Raises BodyRefused."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > MAX_BYTES:
            raise BodyRefused("too large")
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began_s + min(FIRST_S, READ_TIMEOUT_S)) as body.reading:
                async for chunk in request.stream():
                    size = len(body.data) + len(chunk)
                    if size > MAX_BYTES:
                        raise BodyRefused("too large")
                    if size > SMALL_BYTES:
                        self._reserve(body, size)
                        body.reading.reschedule(began_s + min(FIRST_S + size / BYTES_PER_S, READ_TIMEOUT_S))
                    body.add(chunk)
        except TimeoutError:
            raise BodyRefused("busy" if body.makes_room else "slow") from None
        except ClientDisconnect:
            raise BodyRefused("cut off") from None
        finally:
            body.reading = None

    def _reserve(self, body: Body, size: int) -> None:
        """Make room for a body to grow to `size`. Raises BodyRefused."""
        for low, high, max_bytes in (
            (SMALL_BYTES, HUGE_BYTES, MAX_MEDIUM_BYTES),
            (HUGE_BYTES, MAX_BYTES, MAX_BUFFERED_BYTES),
        ):
            more = _part(size, low, high) - body.counted(low, high)
            while more > 0 and sum(each.counted(low, high) for each in self._held) + more > max_bytes:
                self._make_room(body, low, high)

    def _make_room(self, body: Body, low: int, high: int) -> None:
        """Give up the slowest body of the peer that holds most. Raises BodyRefused if that is `body` or not slow."""
        now_s, per_peer = time.monotonic(), Counter[str]()
        for each in self._held:
            per_peer[each.peer] += each.counted(low, high)
        others = [each for each in self._held if each is not body and each.reading and each.counted(low, high)]
        others.sort(key=lambda each: (-per_peer[each.peer], each.bytes_per_s(now_s)))
        for each in others:
            is_stalled = each.bytes_per_s(now_s) < STALLED_BYTES_PER_S
            if is_stalled or per_peer[each.peer] > per_peer[body.peer] + _part(len(body.data), low, high):
                each.make_room()
                return
        raise BodyRefused("busy")


def _part(size: int, low: int, high: int) -> int:
    """Return how much of `size` lies between `low` and `high`."""
    return max(0, min(size, high) - low)
