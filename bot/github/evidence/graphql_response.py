"""Parse GraphQL responses: pages of facts, costs, and errors. No I/O.

A response may be partial: it lists errors next to the data, each with the path to what became null. Few fields are
required, and labels are untrusted text: at most 20, of 200 characters each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from bot.github.errors import Unavailable
from pipeline.classify.bug_labels import MAX_LABEL_CHARACTERS
from pipeline.mining.issue_links import IssueFact
from pipeline.reports.escape import inert

MAX_LABELS: Final = 20
MAX_MESSAGE_CHARS: Final = 160
MAX_NUMBER: Final = 2**31 - 1
_COMMIT = re.compile(r"[0-9a-f]{40}")
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class GraphQlError:
    """An error in a response. `kind` is GitHub's type or code ("FORBIDDEN", "undefinedField"), or empty."""

    kind: str
    message: str
    path: tuple[str | int, ...] = ()
    field: str = ""  # the unknown field, if that is the error


@dataclass(frozen=True, slots=True)
class GraphQlResponse:
    """The response to a query, possibly partial."""

    data: Mapping[str, Any]
    errors: tuple[GraphQlError, ...] = ()


class QueryClient(Protocol):
    """Sends a GraphQL query. Raises GitHubError if there is no readable response."""

    unknown_fields: set[str]  # fields that this GitHub does not have; shared by all clients of a session

    async def __call__(self, query: str, variables: Mapping[str, object]) -> GraphQlResponse: ...


@dataclass(frozen=True, slots=True)
class QueryCost:
    """The points that a query cost, and those that remain."""

    points: int
    remaining: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Facts in GitHub's order. Times are seconds since 1970, None on an empty page."""

    repository_id: int
    facts: tuple[IssueFact, ...]
    cursor: str  # of the next page; empty on the last one
    oldest: int | None = None  # time of the earliest change
    newest: int | None = None
    unreadable: int = 0  # items that GitHub did not show


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class _Named(_Model):
    name: str = ""


class _Labels(_Model):
    nodes: list[_Named | None] | None = None


class _Commit(_Model):
    oid: str = ""


class _RepositoryId(_Model):
    database_id: int | None = None


class _ClosedIssue(_Model):
    number: int
    repository: _RepositoryId | None = None


class _ClosedIssues(_Model):
    nodes: list[_ClosedIssue | None] | None = None


class _Node(_Model):
    number: int
    created_at: datetime
    updated_at: datetime
    state: str = ""
    closed_at: datetime | None = None
    labels: _Labels | None = None
    issue_type: _Named | None = None
    merge_commit: _Commit | None = None
    closing_issues_references: _ClosedIssues | None = None


class _PageInfo(_Model):
    has_next_page: bool = False
    end_cursor: str | None = None


class _Connection(_Model):
    page_info: _PageInfo
    nodes: list[_Node | None]


class _Repository(_Model):
    database_id: int | None = None
    page: _Connection


class _RateLimit(_Model):
    cost: int = 1
    remaining: int
    reset_at: datetime


class _Error(_Model):
    type: str = ""
    message: str = ""
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None


class _Envelope(_Model):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None


def parse_response(body: bytes) -> GraphQlResponse:
    """Parse a response body. Raises Unavailable if it is not a GraphQL response."""
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError:
        raise _unexpected() from None
    if envelope.data is None and not envelope.errors:
        raise _unexpected()
    return GraphQlResponse(envelope.data or {}, tuple(_graphql_error(error) for error in envelope.errors or ()))


def parse_cost(response: GraphQlResponse) -> QueryCost | None:
    """Parse a query's cost; None if this GitHub has no rate limit. Raises Unavailable."""
    value = response.data.get("rateLimit")
    if value is None:
        return None
    limit = _validate(_RateLimit, value)
    return QueryCost(max(0, limit.cost), max(0, limit.remaining), _aware(limit.reset_at))


def parse_page(response: GraphQlResponse, *, are_pull_requests: bool) -> Page:
    """Parse the page in a response. Raises Unavailable if it is malformed."""
    repository = _validate(_Repository, response.data.get("repository"))
    repository_id, nodes, info = repository.database_id or 0, repository.page.nodes, repository.page.page_info
    if info.has_next_page and not info.end_cursor:
        raise _unexpected()
    readable = [node for node in nodes if node is not None and 0 < node.number <= MAX_NUMBER]
    changes = [_seconds(node.updated_at) for node in readable]
    return Page(
        repository_id=repository_id,
        facts=tuple(_fact(node, repository_id, are_pull_requests) for node in readable),
        cursor=(info.end_cursor or "") if info.has_next_page else "",
        oldest=min(changes, default=None),
        newest=max(changes, default=None),
        unreadable=len(nodes) - len(readable),
    )


def _fact(node: _Node, repository_id: int, is_pull_request: bool) -> IssueFact:
    """Convert a node. An unknown state counts as closed."""
    states: dict[str, Any] = {"OPEN": "open", "MERGED": "merged"}
    closes = node.closing_issues_references.nodes or [] if node.closing_issues_references else []
    closed_here = {
        each.number
        for each in closes
        if each is not None
        and each.repository is not None
        and repository_id
        and each.repository.database_id == repository_id
    }
    commit = node.merge_commit.oid if node.merge_commit else ""
    return IssueFact(
        number=node.number,
        is_pull_request=is_pull_request,
        state=states.get(node.state, "closed"),
        labels=tuple(label.name[:MAX_LABEL_CHARACTERS] for label in _labels(node) if label is not None)[:MAX_LABELS],
        issue_type=node.issue_type.name[:MAX_LABEL_CHARACTERS] or None if node.issue_type else None,
        opened_at=_seconds(node.created_at),
        closed_at=None if node.closed_at is None else _seconds(node.closed_at),
        merge_commit=bytes.fromhex(commit) if _COMMIT.fullmatch(commit) else None,
        closes=tuple(sorted(number for number in closed_here if 0 < number <= MAX_NUMBER)),
    )


def _labels(node: _Node) -> list[_Named | None]:
    return node.labels.nodes or [] if node.labels else []


def _graphql_error(error: _Error) -> GraphQlError:
    more = error.extensions or {}
    code, field = more.get("code"), more.get("fieldName")
    kind = error.type or (code if isinstance(code, str) else "")
    return GraphQlError(
        kind=inert(kind, MAX_MESSAGE_CHARS),
        message=inert(error.message, MAX_MESSAGE_CHARS),
        path=tuple(error.path or ()),
        field=field if isinstance(field, str) else "",
    )


def _validate(shape: type[T], value: object) -> T:
    try:
        return shape.model_validate(value)
    except ValidationError:
        raise _unexpected() from None


def _unexpected() -> Unavailable:
    return Unavailable("GitHub's GraphQL sent an unexpected response: is there a proxy in between?")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(moment: datetime) -> int:
    return int(_aware(moment).timestamp())
