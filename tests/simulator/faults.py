"""Ways in which GitHub fails, for some requests or for all.

github.fault("POST .*/check-runs", status(502), times=2)
github.fault("GET .*", forbidden(hint="none"))
github.fault("POST .*/git-upload-pack", before(installation.uninstall))   # then the honest answer
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.simulator.messages import DOCS, Answer

FOREVER = 1_000_000_000


@dataclass(frozen=True)
class Cut:
    """The connection is closed: before anything is said, or after so many bytes of the honest body."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Stall:
    """Nothing is said for so many seconds; the honest answer follows. None: until the server stops."""

    seconds: float | None = None


@dataclass(frozen=True)
class Lost:
    """The request is carried out, but the answer never arrives: it is replaced, or the connection is cut for None."""

    answer: Answer | None = None


@dataclass(frozen=True)
class Before:
    """Something happens just before the request is answered honestly."""

    act: Callable[[], object]


Fault = Answer | Cut | Stall | Lost | Before


def status(code: int, headers: dict[str, str] | None = None, message: str = "Server Error") -> Answer:
    """An answer that GitHub gives when it is unwell; a 5xx comes as a page and not as JSON."""
    if code >= 500:
        return Answer(code, b"<html><body>Unicorn!</body></html>", {"content-type": "text/html", **(headers or {})})
    return Answer(code, {"message": message, "documentation_url": DOCS, "status": str(code)}, dict(headers or {}))


def forbidden(hint: Literal["retry-after", "none"] = "retry-after", seconds: int = 60) -> Answer:
    """A secondary rate limit, with or without a word on when to come back."""
    headers = {"retry-after": str(seconds)} if hint == "retry-after" else {}
    return status(403, headers, "You have exceeded a secondary rate limit.")


def unauthorized() -> Answer:
    return status(401, message="Bad credentials")


def redirect(to: str, code: int = 301) -> Answer:
    return Answer(code, {"message": "Moved Permanently", "url": to}, {"location": to})


def cut(after_bytes: int | None = None) -> Cut:
    return Cut(after_bytes)


def stall(seconds: float | None = None) -> Stall:
    return Stall(seconds)


def lost(answer: Answer | None = None) -> Lost:
    return Lost(answer)


def before(act: Callable[[], object]) -> Before:
    return Before(act)


@dataclass
class FaultRule:
    """A fault, for so many of the requests that match `METHOD PATH` as a whole; `met` counts them."""

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
