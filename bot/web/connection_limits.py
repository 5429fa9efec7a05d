"""Limits on connections: the time that a request's head may take, and how many may be open without a whole request.

uvicorn has neither, so whoever opens as many connections as the process may have files would keep GitHub out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from bot.web.peers import UNKNOWN, Network, is_within, parse_address, peer_of

HEAD_S: Final = 30.0  # from the connection, or the last response, to the end of the next request's head
REQUEST_S: Final = 120.0  # from there to the end of the response; the body has limits of its own
CHECK_EVERY_S: Final = 5.0
MAX_UNFINISHED: Final = 512  # connections without a whole request, and never more than half of the files allowed
CLOSED_AT_ONCE: Final = 64  # so that not every further connection causes a search


class ConnectionLimits:
    """The connections of one server. The protocol class reports them here."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted
        self._open: set[LimitedProtocol] = set()
        self._max = min(MAX_UNFINISHED, _max_files() // 2)

    def opened(self, protocol: LimitedProtocol) -> None:
        """Count a connection in. Where there are too many, close the oldest of the peers that have most."""
        self._open.add(protocol)
        if len(self._open) > self._max:
            self._make_room()

    def closed(self, protocol: LimitedProtocol) -> None:
        self._open.discard(protocol)

    def _make_room(self) -> None:
        unfinished = [each for each in self._open if each.is_unfinished]
        if len(unfinished) <= self._max:
            return
        unfinished.sort(key=lambda each: each.since_s, reverse=True)
        per_peer = Counter(self._peer(each) for each in unfinished)
        for _ in range(min(CLOSED_AT_ONCE, len(unfinished))):
            ((most, count),) = per_peer.most_common(1)
            oldest = next(each for each in reversed(unfinished) if self._peer(each) == most)
            unfinished.remove(oldest)
            per_peer[most] = count - 1
            oldest.transport.abort()

    def _peer(self, protocol: LimitedProtocol) -> str:
        """Return who opened a connection. Whom a trusted proxy serves is not known before the head has arrived."""
        address = parse_address(protocol.address)
        if address is not None and is_within(address, self._trusted):
            return UNKNOWN
        return peer_of(protocol.address, (), ())


class LimitedProtocol(asyncio.Protocol):
    """What is added to uvicorn's protocol class. `cycle` is its present request."""

    limits: ConnectionLimits
    transport: asyncio.Transport
    cycle: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.since_s = time.monotonic()
        self._seen: tuple[object, bool] = (None, False)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)
        self.limits.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.limits.closed(self)
        super().connection_lost(exc)

    @property
    def is_unfinished(self) -> bool:
        """Return whether the connection waits for its peer: for a head, or for the rest of a body."""
        cycle = self.cycle
        return cycle is None or bool(cycle.response_complete or cycle.more_body)

    def _check(self) -> None:
        now_s, cycle = time.monotonic(), self.cycle
        in_request = cycle is not None and not cycle.response_complete
        if (cycle, in_request) != self._seen:  # there was a request since
            self._seen, self.since_s = (cycle, in_request), now_s
        self._timer = None
        if in_request and now_s - self.since_s > REQUEST_S:
            self.transport.abort()  # the peer may not be reading its response, so there may be no end to writing it
        elif not in_request and now_s - self.since_s > HEAD_S:
            self.transport.close()
        else:
            self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY_S, self._check)


def _max_files() -> int:
    """Return how many files this process may have open."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 2 * MAX_UNFINISHED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else 2 * MAX_UNFINISHED


def limited(protocol: type[asyncio.Protocol], trusted: Sequence[Network]) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol class with limits on the connections that it serves together."""
    return type("LimitedHttpProtocol", (LimitedProtocol, protocol), {"limits": ConnectionLimits(trusted)})
