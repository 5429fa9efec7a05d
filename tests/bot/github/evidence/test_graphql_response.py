"""Parsing GraphQL responses, including malformed ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.errors import Unavailable
from bot.github.evidence.evidence_facts import EvidenceFacts, FetchState, tracker_of
from bot.github.evidence.graphql_errors import Refusal, classify_response, is_rate_limit
from bot.github.evidence.graphql_response import (
    MAX_LABELS,
    GraphQlError,
    GraphQlResponse,
    parse_cost,
    parse_page,
    parse_response,
)
from bot.github.evidence.walks import WalkState
from pipeline.classify.bug_labels import MAX_LABEL_CHARACTERS
from pipeline.mining.issue_links import IssueFact, Tracker
from tests.bot.github.evidence.counting import graphql_error
from tests.rows import each_row

NODE = {"number": 12, "state": "OPEN", "createdAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-03T00:00:00Z"}
OPENED = 1_767_323_045
PAGE = ("repository", "page")


def reply(*nodes: Any, **more: Any) -> GraphQlResponse:
    info = {"hasNextPage": False, "endCursor": None} | more
    return GraphQlResponse({"repository": {"databaseId": 7, "page": {"pageInfo": info, "nodes": list(nodes)}}})


def fact(**more: Any) -> IssueFact:
    page = parse_page(reply({**NODE, **more}), are_pull_requests="mergeCommit" in more)
    (found,) = page.facts
    return found


def test_an_issue_is_parsed() -> None:
    labels = {"nodes": [{"name": "bug"}, None, {"name": "C-bug"}]}
    found = fact(state="CLOSED", closedAt="2026-01-03T03:04:05Z", labels=labels, issueType={"name": "Bug"})
    assert found == IssueFact(12, False, "closed", ("bug", "C-bug"), "Bug", OPENED, OPENED + 86_400, None)


def test_a_pull_request_closes_only_issues_of_its_repository() -> None:
    closes = [
        {"number": 3, "repository": {"databaseId": 7}},
        {"number": 4, "repository": {"databaseId": 8}},
        {"number": 5, "repository": None},
        {"number": 0, "repository": {"databaseId": 7}},
        None,
        {"number": 2, "repository": {"databaseId": 7}},
    ]
    found = fact(state="MERGED", mergeCommit={"oid": "0f" * 20}, closingIssuesReferences={"nodes": closes})
    assert (found.state, found.merge_commit, found.closes, found.is_pull_request) == (
        "merged",
        b"\x0f" * 20,
        (2, 3),
        True,
    )


@each_row(
    "more",
    [{"labels": None}, {"labels": {"nodes": None}}, {"issueType": None}, {"issueType": {"name": ""}},
     {"mergeCommit": None}, {"mergeCommit": {"oid": "0F" * 20}}, {"mergeCommit": {"oid": "0f" * 32}},
     {"closingIssuesReferences": None}, {"closedAt": None}],
)  # fmt: skip
def test_missing_fields_are_empty(more: dict[str, Any]) -> None:
    found = fact(**more)
    assert (found.labels, found.issue_type, found.merge_commit, found.closes, found.closed_at) == (
        (),
        None,
        None,
        (),
        None,
    )


def test_labels_are_bounded() -> None:
    found = fact(labels={"nodes": [{"name": f"{at}" + "x" * 5_000} for at in range(50)]}, issueType={"name": "y" * 999})
    assert len(found.labels) == MAX_LABELS
    assert {len(label) for label in found.labels} == {MAX_LABEL_CHARACTERS}
    assert len(found.issue_type or "") == MAX_LABEL_CHARACTERS


def test_unknown_states_count_as_closed() -> None:
    assert fact(state="FROZEN").state == "closed"


def test_a_page_has_a_cursor_and_a_range() -> None:
    older = {**NODE, "number": 3, "updatedAt": "2026-01-02T00:00:00Z"}
    page = parse_page(reply(NODE, None, older, hasNextPage=True, endCursor="c"), are_pull_requests=False)
    assert (page.cursor, page.unreadable, page.repository_id) == ("c", 1, 7)
    assert (page.newest, page.oldest) == (1_767_398_400, 1_767_312_000)
    last = parse_page(reply(endCursor="c"), are_pull_requests=False)
    assert (last.cursor, last.newest, last.oldest) == ("", None, None)


@each_row(
    "data",
    [{}, {"repository": None}, {"repository": {"page": None}}, {"repository": {"page": {"nodes": []}}},
     {"repository": {"page": {"pageInfo": {}, "nodes": None}}},
     reply({"number": "many"}).data, reply({**NODE, "createdAt": "yesterday"}).data,
     reply(NODE, hasNextPage=True, endCursor=None).data],
)  # fmt: skip
def test_malformed_pages_are_unavailable(data: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        parse_page(GraphQlResponse(data), are_pull_requests=False)


@given(
    st.binary(max_size=60)
    | st.from_regex(r'\{"(data|errors)": ?[\[\]{}":a-z0-9, ]{0,20}\}', fullmatch=True).map(str.encode)
)
def test_any_bytes_parse_or_are_unavailable(body: bytes) -> None:
    try:
        found = parse_response(body)
    except Unavailable:
        return
    assert found.data is not None


def test_partial_errors_are_short_and_printable() -> None:
    error = {"type": "FORBIDDEN", "message": "no\x1b[31m" + "x" * 900, "path": ["repository", "page", "nodes", 3]}
    code = {"message": "m", "extensions": {"code": "undefinedField", "fieldName": "issueType"}}
    found = parse_response(json.dumps({"data": {"repository": None}, "errors": [error, code]}).encode())
    assert found.data == {"repository": None}
    first, second = found.errors
    assert (first.kind, first.path) == ("FORBIDDEN", ("repository", "page", "nodes", 3))
    assert "\x1b" not in first.message
    assert len(first.message) < 200
    assert (second.kind, second.field) == ("undefinedField", "issueType")


def test_the_query_cost_is_parsed_and_may_be_unknown() -> None:
    limit = {"cost": 2, "limit": 5_000, "remaining": 4_000, "resetAt": "2026-01-02T03:04:05Z"}
    found = parse_cost(GraphQlResponse({"rateLimit": limit}))
    assert found is not None
    assert (found.points, found.remaining, found.resets_at.timestamp()) == (2, 4_000, OPENED)
    assert parse_cost(GraphQlResponse({"rateLimit": None})) is None
    with pytest.raises(Unavailable):
        parse_cost(GraphQlResponse({"rateLimit": {"cost": "a lot"}}))


@each_row(
    ("error", "is_one"),
    [
        (graphql_error("RATE_LIMITED"), True),
        (graphql_error("RATE_LIMIT"), True),
        (GraphQlError("graphql_rate_limit", "m"), True),
        (graphql_error("", message="You have exceeded a secondary rate limit."), True),
        (graphql_error("FORBIDDEN", message="Resource not accessible by integration"), False),
    ],
)
def test_rate_limits_are_recognised_by_type_code_or_message(error: GraphQlError, is_one: bool) -> None:
    assert is_rate_limit(error) is is_one


def test_missing_permissions_for_fields_are_named() -> None:
    errors = (
        graphql_error("FORBIDDEN", *PAGE, "nodes", 0, "closingIssuesReferences"),
        graphql_error("FORBIDDEN", *PAGE, "nodes", 1, "mergeCommit"),
        graphql_error("NOT_FOUND", *PAGE, "nodes", 2, "labels"),
    )
    verdict = classify_response(GraphQlResponse(reply(NODE).data, errors), "pull_requests", is_min_size=False)
    assert (set(verdict.lacks), verdict.refusal) == ({"issues", "contents"}, None)


def test_a_denied_list_is_named_by_its_permission() -> None:
    verdict = classify_response(
        GraphQlResponse({"repository": None}, (graphql_error("FORBIDDEN", *PAGE),)), "pull_requests", is_min_size=False
    )
    assert (set(verdict.lacks), verdict.refusal) == ({"pull_requests"}, Refusal.LIST)


def test_a_list_without_nodes_is_denied() -> None:
    data = {"repository": {"databaseId": 7, "page": {"pageInfo": {"hasNextPage": False}, "nodes": None}}}
    verdict = classify_response(
        GraphQlResponse(data, (graphql_error("FORBIDDEN", *PAGE, "nodes"),)), "issues", is_min_size=False
    )
    assert (set(verdict.lacks), verdict.refusal) == ({"issues"}, Refusal.LIST)


def test_the_tracker_holds_items_opened_by_its_date() -> None:
    facts = {
        n: IssueFact(n, False, "open", ("bug",), None, opened, None, None) for n, opened in ((1, 10), (2, 20), (3, 30))
    }
    assert tracker_of(EvidenceFacts(facts), 20, ("bug",)) == Tracker({1: facts[1], 2: facts[2]}, 20, ("bug",))


@each_row(
    ("state", "is_complete"),
    [
        (FetchState(), False),
        (FetchState(issues=WalkState(until=5)), False),
        (FetchState(issues=WalkState(until=5), pull_requests=WalkState(cursor="c")), False),
        (FetchState(issues=WalkState(until=5), pull_requests=WalkState(until=5)), True),
        (FetchState(issues=WalkState(until=5), lacks=("pull_requests",)), True),
        (FetchState(lacks=("issues", "pull_requests")), True),
    ],
)
def test_facts_are_complete_once_both_lists_are_read_or_denied(state: FetchState, is_complete: bool) -> None:
    assert EvidenceFacts({}, state).is_complete is is_complete
