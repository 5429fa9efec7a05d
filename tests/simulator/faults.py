"""Faults of GitHub, for some requests or for all.

github.fault("POST .*/check-runs", status(502), times=2)
github.fault("GET .*", forbidden(hint="none"))
github.fault("POST .*/git-upload-pack", before(installation.uninstall))   # then the normal response
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.simulator.messages import DOCS, Response

FOREVER = 1_000_000_000


@dataclass(frozen=True)
class Cut:
    """Close the connection: before the response, or after `after_bytes` of its body."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Stall:
    """Delay the normal response by `seconds`; None: until the server stops."""

    seconds: float | None = None


@dataclass(frozen=True)
class Lost:
    """Process the request but lose the response: replace it or, if None, cut the connection."""

    response: Response | None = None


@dataclass(frozen=True)
class Before:
    """Call `act` just before the request is processed normally."""

    act: Callable[[], object]


Fault = Response | Cut | Stall | Lost | Before


def status(code: int, headers: dict[str, str] | None = None, message: str = "Server Error") -> Response:
    """Return an error response; a 5xx is an HTML page instead of JSON."""
    if code >= 500:
        return Response(code, b"<html><body>Unicorn!</body></html>", {"content-type": "text/html", **(headers or {})})
    return Response(code, {"message": message, "documentation_url": DOCS, "status": str(code)}, dict(headers or {}))


def forbidden(hint: Literal["retry-after", "none"] = "retry-after", seconds: int = 60) -> Response:
    """Return a secondary rate limit, with or without a Retry-After."""
    headers = {"retry-after": str(seconds)} if hint == "retry-after" else {}
    return status(403, headers, "You have exceeded a secondary rate limit.")


def unauthorized() -> Response:
    return status(401, message="Bad credentials")


def redirect(to: str, code: int = 301) -> Response:
    return Response(code, {"message": "Moved Permanently", "url": to}, {"location": to})


def cut(after_bytes: int | None = None) -> Cut:
    return Cut(after_bytes)


def stall(seconds: float | None = None) -> Stall:
    return Stall(seconds)


def lost(response: Response | None = None) -> Lost:
    return Lost(response)


def before(act: Callable[[], object]) -> Before:
    return Before(act)


@dataclass
class FaultRule:
    """A fault for the next `left` requests whose `METHOD PATH` matches fully; `met` counts them."""

    match: re.Pattern[str]
    fault: Fault
    left: int
    met: int = 0

    def stop(self) -> None:
        self.left = 0

    def take(self, method: str, path: str) -> Fault | None:
        if self.left <= 0 or not self.match.fullmatch(f"{method} {path}"):
            return None
        self.left -= 1
        self.met += 1
        return self.fault
