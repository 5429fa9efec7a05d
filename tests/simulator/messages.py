"""What goes through the simulator's server: a request, an answer, and a refusal."""

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
    """A request as it came; `path` is percent-encoded and without the query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass
class Answer:
    """What is sent: bytes as they are, anything else as JSON, and nothing for None."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refused(Exception):
    """GitHub says no, in its own words."""

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
        self.answer = Answer(status, body, dict(headers or {}))


class Misused(Refused):
    """A refusal of something that no correct client sends, whatever the state is: it counts as a violation."""


@dataclass(frozen=True)
class Seen:
    """A request that was answered, as a test looks at it."""

    method: str
    path: str
    status: int
    at: datetime
    installation_id: int = 0  # whose token it came with
    query: str = ""
    body: Any = None  # JSON
    headers: Mapping[str, str] = field(default_factory=dict)  # those of the answer


@dataclass(frozen=True)
class Actor:
    """Who asks: an App with its JWT, an installation with its token, or anybody."""

    app: App | None = None
    installation: Installation | None = None
    token: Token | None = None


@dataclass(frozen=True)
class Call:
    """A request to the API after everything that holds for all operations has been checked."""

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
