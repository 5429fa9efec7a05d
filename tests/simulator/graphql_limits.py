"""GraphQL's limits: the cost of a query, its maximum number of nodes, and the points per hour.

A query costs a hundredth of the number of lists that it may have to open, at least 1 point. Every list must request 1
to 100 items, and all lists together at most 500,000.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphql.language import FieldNode, IntValueNode, OperationDefinitionNode, SelectionSetNode, VariableNode

from tests.simulator.limits import HOUR, MINUTE, Window
from tests.simulator.messages import Refused

MAX_NODES = 500_000
MAX_PAGE_SIZE = 100
LISTS = {"issues", "pullRequests", "labels", "closingIssuesReferences"}


class QueryError(Exception):
    """A GraphQL error with GitHub's type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Usage:
    resets_at: datetime
    used: int = 0


@dataclass
class GraphQl:
    """The GraphQL settings and usage of this GitHub. None disables a limit."""

    now: Callable[[], datetime]
    points_an_hour: int | None = 5_000
    queries_a_minute: int | None = 2_000  # the secondary limit: each query is one point of it
    has_issue_types: bool = True
    slow_above: int = MAX_PAGE_SIZE  # pages larger than this are broken off with a 502
    broken: set[int] = field(default_factory=set)  # items whose labels GitHub fails to read
    unseen: set[int] = field(default_factory=set)  # items that are null
    asked: list[Mapping[str, Any]] = field(default_factory=list)  # the variables of every query that was carried out
    _usage: dict[int, Usage] = field(default_factory=dict)
    _minutes: dict[int, Window] = field(default_factory=lambda: defaultdict(lambda: Window(MINUTE)))

    def usage(self, installation_id: int) -> Usage:
        usage = self._usage.get(installation_id)
        if usage is None or self.now() >= usage.resets_at:
            usage = self._usage[installation_id] = Usage(self.now() + HOUR)
        return usage

    def remaining(self, installation_id: int) -> int:
        return max(0, (self.points_an_hour or 0) - self.usage(installation_id).used)

    def enter(self, installation_id: int) -> None:
        """Count a query towards the secondary limit. Raises Refused with 403, or QueryError RATE_LIMITED."""
        if self.points_an_hour is not None and not self.remaining(installation_id):
            raise QueryError("RATE_LIMITED", f"API rate limit exceeded for installation ID {installation_id}.")
        window = self._minutes[installation_id]
        window.forget(self.now())
        if self.queries_a_minute is not None and window.total >= self.queries_a_minute:
            raise Refused(403, "You have exceeded a secondary rate limit.", headers={"retry-after": "60"})
        window.add(self.now())

    def headers(self, installation_id: int) -> dict[str, str]:
        if self.points_an_hour is None:
            return {}
        usage = self.usage(installation_id)
        return {
            "x-ratelimit-limit": str(self.points_an_hour),
            "x-ratelimit-remaining": str(self.remaining(installation_id)),
            "x-ratelimit-reset": str(int(usage.resets_at.timestamp())),
            "x-ratelimit-used": str(usage.used),
            "x-ratelimit-resource": "graphql",
        }


@dataclass(frozen=True)
class Price:
    lists: int
    nodes: int
    largest: int  # of the sizes that are asked for

    @property
    def points(self) -> int:
        return max(1, round(self.lists / 100))


def price(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Price:
    """Compute a query's price. Raises QueryError for a list without a valid size, and for too many nodes."""
    found = _price(operation.selection_set, variables, 1)
    if found.nodes > MAX_NODES:
        message = (
            f"This query requests up to {found.nodes:,} possible nodes which exceeds the maximum limit of 500,000."
        )
        raise QueryError("MAX_NODE_LIMIT_EXCEEDED", message)
    return found


def _price(selection: SelectionSetNode | None, variables: Mapping[str, Any], times: int) -> Price:
    lists = nodes = largest = 0
    for node in selection.selections if selection else ():
        assert isinstance(node, FieldNode), "fragments are not needed, and not counted"
        inside = times
        if node.name.value in LISTS:
            size = _size(node, variables)
            lists, nodes, largest, inside = lists + times, nodes + times * size, max(largest, size), times * size
        within = _price(node.selection_set, variables, inside)
        lists, nodes, largest = lists + within.lists, nodes + within.nodes, max(largest, within.largest)
    return Price(lists, nodes, largest)


def _size(node: FieldNode, variables: Mapping[str, Any]) -> int:
    name = node.name.value
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last"):
            value = argument.value
            size = variables.get(value.name.value) if isinstance(value, VariableNode) else None
            size = int(value.value) if isinstance(value, IntValueNode) else size
            if not isinstance(size, int) or not 1 <= size <= MAX_PAGE_SIZE:
                message = (
                    f"Requesting {size} records on the `{name}` connection exceeds the `first` limit of 100 records."
                )
                raise QueryError("EXCESSIVE_PAGINATION", message)
            return size
    message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
    raise QueryError("MISSING_PAGINATION_BOUNDARIES", message)
