"""The simulator's requests, responses and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.apps import App, Installation, Token
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository

DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Request:
    """A received request. `path` is percent-encoded and excludes the query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass
class Response:
    """A response. The body is sent as is if bytes, else as JSON; None is empty."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refused(Exception):
    """Raised to respond with an error, worded like GitHub's."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[Any] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        body: dict[str, Any] = {"message": message, "documentation_url": DOCS, "status": str(status), **(more or {})}
        if errors is not None:
            body["errors"] = errors
        self.response = Response(status, body, dict(headers or {}))


class InvalidRequest(Refused):
    """A refusal of a request that no correct client sends, whatever the state. Counts as a violation."""


@dataclass(frozen=True)
class RecordedRequest:
    """A processed request, recorded for tests."""

    method: str
    path: str
    status: int
    at: datetime
    installation_id: int = 0  # whose token it came with
    query: str = ""
    body: Any = None  # JSON
    headers: Mapping[str, str] = field(default_factory=dict)  # those of the response


@dataclass(frozen=True)
class Actor:
    """The sender: an App with its JWT, an installation with its token, or neither."""

    app: App | None = None
    installation: Installation | None = None
    token: Token | None = None


@dataclass(frozen=True)
class Call:
    """An API request that has passed the checks common to all operations."""

    github: GitHub
    actor: Actor
    values: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    accept: str = ""
    target: Repository | None = None

    @property
    def repository(self) -> Repository:
        assert self.target is not None, "an operation without a repository"
        return self.target

    @property
    def app(self) -> App:
        assert self.actor.app is not None, "an operation of an App"
        return self.actor.app

    def page(self, items: list[Any]) -> list[Any]:
        size = self.per_page
        first = (int(self.query.get("page", 1)) - 1) * size
        return items[first : first + size]

    @property
    def per_page(self) -> int:
        return max(1, min(100, int(self.query.get("per_page", 30))))
