"""A fake GraphQL in memory that records every query: issues and pull requests, no network, no schema."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.github.evidence.evidence_facts import EvidenceFacts, FetchState
from bot.github.evidence.graphql_response import GraphQlError, GraphQlResponse
from bot.github.evidence.queries import Kind
from pipeline.mining.issue_links import IssueFact

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REPOSITORY_ID = 77


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Item:
    number: int
    updated_at: int
    labels: tuple[str, ...] = ()
    commit: str | None = None
    closes: tuple[int, ...] = ()

    def node(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "state": "MERGED" if self.commit else "OPEN",
            "createdAt": iso(self.updated_at - 86_400),
            "updatedAt": iso(self.updated_at),
            "closedAt": iso(self.updated_at) if self.commit else None,
            "labels": {"nodes": [{"name": name} for name in self.labels]},
            "mergeCommit": {"oid": self.commit} if self.commit else None,
            "closingIssuesReferences": {
                "nodes": [{"number": each, "repository": {"databaseId": REPOSITORY_ID}} for each in self.closes]
            },
        }


@dataclass(frozen=True)
class Asked:
    kind: Kind
    cursor: str
    size: int
    since: str


@dataclass
class CountingGitHub:
    """A QueryClient. `before` runs ahead of each query, and may change items, raise, or return a response instead."""

    issues: list[Item] = field(default_factory=list)
    pull_requests: list[Item] = field(default_factory=list)
    limit: int | None = 5_000
    now: datetime = NOW
    before: Callable[[Asked], GraphQlResponse | None] = lambda asked: None
    repository_id: int = REPOSITORY_ID
    unknown_fields: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    spent: int = 0
    resets_at: datetime = NOW + timedelta(minutes=40)
    _sorted: dict[Kind, tuple[int, list[tuple[int, int]], dict[int, Item]]] = field(default_factory=dict)

    def touch(self, kind: Kind, number: int, at: int, **changes: Any) -> None:
        for item in self.issues if kind == "issues" else self.pull_requests:
            if item.number == number:
                item.updated_at = at
                for name, value in changes.items():
                    setattr(item, name, value)
        self.forget_order()

    def forget_order(self) -> None:
        self._sorted.clear()

    async def __call__(self, query: str, variables: Mapping[str, object]) -> GraphQlResponse:
        kind: Kind = "issues" if "page: issues" in query else "pull_requests"
        values: Mapping[str, Any] = variables
        asked = Asked(kind, values["after"] or "", values["size"], values.get("since", ""))
        self.asked.append(asked)
        instead = self.before(asked)
        if instead is not None:
            return instead
        if self.now >= self.resets_at:
            self.spent, self.resets_at = 0, self.now + timedelta(hours=1)
        cost = max(1, round((1 + asked.size * (1 if kind == "issues" else 2)) / 100))
        self.spent += cost
        data = {"repository": {"databaseId": self.repository_id, "page": self._page(asked)}}
        return GraphQlResponse(data | {"rateLimit": self._rate_limit(cost)})

    def _rate_limit(self, cost: int) -> dict[str, Any] | None:
        if self.limit is None:
            return None
        remaining = max(0, self.limit - self.spent)
        return {"cost": cost, "limit": self.limit, "remaining": remaining, "resetAt": self.resets_at.isoformat()}

    def _page(self, asked: Asked) -> dict[str, Any]:
        sign = 1 if asked.kind == "issues" else -1
        places, items = self._order(asked.kind, sign)
        first = 0
        if asked.since:
            first = bisect.bisect_left(places, (int(datetime.fromisoformat(asked.since).timestamp()), 0))
        if asked.cursor:
            moment, number = (int(part) for part in asked.cursor.split("/"))
            first = max(first, bisect.bisect_right(places, (moment, number)))
        page = places[first : first + asked.size]
        return {
            "pageInfo": {
                "hasNextPage": first + asked.size < len(places),
                "endCursor": f"{page[-1][0]}/{page[-1][1]}" if page else None,
            },
            "nodes": [items[abs(number)].node() for _, number in page],
        }

    def _order(self, kind: Kind, sign: int) -> tuple[list[tuple[int, int]], dict[int, Item]]:
        listed = self.issues if kind == "issues" else self.pull_requests
        known = self._sorted.get(kind)
        if known is None or known[0] != len(listed):
            places = sorted((sign * item.updated_at, sign * item.number) for item in listed)
            known = self._sorted[kind] = (len(listed), places, {item.number: item for item in listed})
        return known[1], known[2]


class Memory:
    """A FactStore in memory."""

    def __init__(self) -> None:
        self.facts: dict[int, IssueFact] = {}
        self.state: FetchState | None = None
        self.pages = 0

    def load(self) -> EvidenceFacts | None:
        return None if self.state is None else EvidenceFacts(dict(self.facts), self.state)

    def add(self, facts: Iterable[IssueFact], state: FetchState) -> None:
        self.facts.update((fact.number, fact) for fact in facts)
        self.state = state
        self.pages += 1

    def clear(self) -> None:
        self.facts, self.state = {}, None

    def compact(self, facts: EvidenceFacts) -> None:
        self.facts, self.state = dict(facts.facts), facts.state


def graphql_error(kind: str, *path: str | int, message: str = "an error") -> GraphQlError:
    return GraphQlError(kind, message, path)


def query_words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
