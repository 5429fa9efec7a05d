"""What GraphQL answers, read into values: a page of facts, and what went wrong beside it. No I/O.

GraphQL may answer in part: errors stand beside the data, each with the path to what became null. Few fields are
required, and labels are foreign text: at most 20 of 200 characters.
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
from pipeline.classify.bug_labels import LONGEST_LABEL
from pipeline.mining.issue_links import IssueFact
from pipeline.reports.escape import inert

MOST_LABELS: Final = 20
LONGEST_MESSAGE: Final = 160
LARGEST_NUMBER: Final = 2**31 - 1
_COMMIT = re.compile(r"[0-9a-f]{40}")
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One of the errors of an answer. `kind` is GitHub's type or code ("FORBIDDEN", "undefinedField"), or empty."""

    kind: str
    message: str
    path: tuple[str | int, ...] = ()
    field: str = ""  # the one that is not known


@dataclass(frozen=True, slots=True)
class Reply:
    """What a query was answered with."""

    data: Mapping[str, Any]
    troubles: tuple[Trouble, ...] = ()


class Ask(Protocol):
    """Asks one query of GraphQL. Raises GitHubProblem where there is no answer to read."""

    unknown_fields: set[str]  # that this GitHub said it does not have; kept for as long as it is talked to

    async def __call__(self, query: str, variables: Mapping[str, object]) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Spending:
    """What a query cost and what is left, in points."""

    cost: int
    remaining: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Facts in the order in which they were sent. Times are seconds since 1970, none where the page is empty."""

    repository_id: int
    facts: tuple[IssueFact, ...]
    cursor: str  # where the next page begins; empty where this is the last
    oldest: int | None = None  # time of the change that lies furthest back
    newest: int | None = None
    unreadable: int = 0  # items that GitHub did not show


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class _Named(_Answer):
    name: str = ""


class _Labels(_Answer):
    nodes: list[_Named | None] | None = None


class _Commit(_Answer):
    oid: str = ""


class _Home(_Answer):
    database_id: int | None = None


class _Closed(_Answer):
    number: int
    repository: _Home | None = None


class _Closes(_Answer):
    nodes: list[_Closed | None] | None = None


class _Node(_Answer):
    number: int
    created_at: datetime
    updated_at: datetime
    state: str = ""
    closed_at: datetime | None = None
    labels: _Labels | None = None
    issue_type: _Named | None = None
    merge_commit: _Commit | None = None
    closing_issues_references: _Closes | None = None


class _PageInfo(_Answer):
    has_next_page: bool = False
    end_cursor: str | None = None


class _Connection(_Answer):
    page_info: _PageInfo
    nodes: list[_Node | None]


class _Repository(_Answer):
    database_id: int | None = None
    page: _Connection


class _RateLimit(_Answer):
    cost: int = 1
    remaining: int
    reset_at: datetime


class _Error(_Answer):
    type: str = ""
    message: str = ""
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None


class _Envelope(_Answer):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None


def parse_reply(body: bytes) -> Reply:
    """Raises Unavailable for what is no answer of GraphQL."""
    try:
        said = _Envelope.model_validate_json(body)
    except ValidationError:
        raise _senseless() from None
    if said.data is None and not said.errors:
        raise _senseless()
    return Reply(said.data or {}, tuple(_trouble(error) for error in said.errors or ()))


def parse_spending(reply: Reply) -> Spending | None:
    """None where this GitHub has no rate limit. Raises Unavailable."""
    said = reply.data.get("rateLimit")
    if said is None:
        return None
    limit = _validated(_RateLimit, said)
    return Spending(max(0, limit.cost), max(0, limit.remaining), _aware(limit.reset_at))


def parse_page(reply: Reply, *, are_pull_requests: bool) -> Page:
    """The page of an answer that has one. Raises Unavailable where the answer makes no sense."""
    repository = _validated(_Repository, reply.data.get("repository"))
    home, nodes, info = repository.database_id or 0, repository.page.nodes, repository.page.page_info
    if info.has_next_page and not info.end_cursor:
        raise _senseless()
    seen = [node for node in nodes if node is not None and 0 < node.number <= LARGEST_NUMBER]
    changes = [_seconds(node.updated_at) for node in seen]
    return Page(
        repository_id=home,
        facts=tuple(_fact(node, home, are_pull_requests) for node in seen),
        cursor=(info.end_cursor or "") if info.has_next_page else "",
        oldest=min(changes, default=None),
        newest=max(changes, default=None),
        unreadable=len(nodes) - len(seen),
    )


def _fact(node: _Node, home: int, is_pull_request: bool) -> IssueFact:
    """A state that nobody thought of counts as closed: of an open one GitHub says so."""
    states: dict[str, Any] = {"OPEN": "open", "MERGED": "merged"}
    closes = node.closing_issues_references.nodes or [] if node.closing_issues_references else []
    own = {
        each.number
        for each in closes
        if each is not None and each.repository is not None and home and each.repository.database_id == home
    }
    commit = node.merge_commit.oid if node.merge_commit else ""
    return IssueFact(
        number=node.number,
        is_pull_request=is_pull_request,
        state=states.get(node.state, "closed"),
        labels=tuple(label.name[:LONGEST_LABEL] for label in _labels(node) if label is not None)[:MOST_LABELS],
        issue_type=node.issue_type.name[:LONGEST_LABEL] or None if node.issue_type else None,
        opened_at=_seconds(node.created_at),
        closed_at=None if node.closed_at is None else _seconds(node.closed_at),
        merge_commit=bytes.fromhex(commit) if _COMMIT.fullmatch(commit) else None,
        closes=tuple(sorted(number for number in own if 0 < number <= LARGEST_NUMBER)),
    )


def _labels(node: _Node) -> list[_Named | None]:
    return node.labels.nodes or [] if node.labels else []


def _trouble(error: _Error) -> Trouble:
    more = error.extensions or {}
    code, field = more.get("code"), more.get("fieldName")
    kind = error.type or (code if isinstance(code, str) else "")
    return Trouble(
        kind=inert(kind, LONGEST_MESSAGE),
        message=inert(error.message, LONGEST_MESSAGE),
        path=tuple(error.path or ()),
        field=field if isinstance(field, str) else "",
    )


def _validated(shape: type[T], said: object) -> T:
    try:
        return shape.model_validate(said)
    except ValidationError:
        raise _senseless() from None


def _senseless() -> Unavailable:
    return Unavailable("GitHub's GraphQL gave an answer that makes no sense: is there a proxy in between?")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(moment: datetime) -> int:
    return int(_aware(moment).timestamp())
