"""What is read of an answer, and what of it is not believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.errors import Unavailable
from bot.github.evidence.evidence_facts import EvidenceFacts, Standing, tracker_of
from bot.github.evidence.graphql_errors import Refusal, is_rate_limit, judge
from bot.github.evidence.graphql_response import MOST_LABELS, Reply, Trouble, parse_page, parse_reply, parse_spending
from bot.github.evidence.walks import Reach
from pipeline.classify.bug_labels import LONGEST_LABEL
from pipeline.mining.issue_links import IssueFact, Tracker
from tests.bot.github.evidence.counting import trouble

NODE = {"number": 12, "state": "OPEN", "createdAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-03T00:00:00Z"}
OPENED = 1_767_323_045
PAGE = ("repository", "page")


def reply(*nodes: Any, **more: Any) -> Reply:
    info = {"hasNextPage": False, "endCursor": None} | more
    return Reply({"repository": {"databaseId": 7, "page": {"pageInfo": info, "nodes": list(nodes)}}})


def fact(**more: Any) -> IssueFact:
    page = parse_page(reply({**NODE, **more}), are_pull_requests="mergeCommit" in more)
    (found,) = page.facts
    return found


def test_an_issue_is_read() -> None:
    labels = {"nodes": [{"name": "bug"}, None, {"name": "C-bug"}]}
    found = fact(state="CLOSED", closedAt="2026-01-03T03:04:05Z", labels=labels, issueType={"name": "Bug"})
    assert found == IssueFact(12, False, "closed", ("bug", "C-bug"), "Bug", OPENED, OPENED + 86_400, None)


def test_a_pull_request_is_read_and_closes_issues_of_this_repository_alone() -> None:
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


@pytest.mark.parametrize(
    "more",
    [{"labels": None}, {"labels": {"nodes": None}}, {"issueType": None}, {"issueType": {"name": ""}},
     {"mergeCommit": None}, {"mergeCommit": {"oid": "0F" * 20}}, {"mergeCommit": {"oid": "0f" * 32}},
     {"closingIssuesReferences": None}, {"closedAt": None}],
)  # fmt: skip
def test_what_is_missing_is_nothing(more: dict[str, Any]) -> None:
    found = fact(**more)
    assert (found.labels, found.issue_type, found.merge_commit, found.closes, found.closed_at) == (
        (),
        None,
        None,
        (),
        None,
    )


def test_labels_are_foreign_text() -> None:
    found = fact(labels={"nodes": [{"name": f"{at}" + "x" * 5_000} for at in range(50)]}, issueType={"name": "y" * 999})
    assert len(found.labels) == MOST_LABELS
    assert {len(label) for label in found.labels} == {LONGEST_LABEL}
    assert len(found.issue_type or "") == LONGEST_LABEL


def test_a_state_that_nobody_thought_of_is_not_open() -> None:
    assert fact(state="FROZEN").state == "closed"


def test_a_page_says_where_it_ends_and_how_far_it_goes() -> None:
    older = {**NODE, "number": 3, "updatedAt": "2026-01-02T00:00:00Z"}
    page = parse_page(reply(NODE, None, older, hasNextPage=True, endCursor="c"), are_pull_requests=False)
    assert (page.cursor, page.unreadable, page.repository_id) == ("c", 1, 7)
    assert (page.newest, page.oldest) == (1_767_398_400, 1_767_312_000)
    last = parse_page(reply(endCursor="c"), are_pull_requests=False)
    assert (last.cursor, last.newest, last.oldest) == ("", None, None)


@pytest.mark.parametrize(
    "data",
    [{}, {"repository": None}, {"repository": {"page": None}}, {"repository": {"page": {"nodes": []}}},
     {"repository": {"page": {"pageInfo": {}, "nodes": None}}},
     reply({"number": "many"}).data, reply({**NODE, "createdAt": "yesterday"}).data,
     reply(NODE, hasNextPage=True, endCursor=None).data],
)  # fmt: skip
def test_what_makes_no_sense_is_no_page(data: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        parse_page(Reply(data), are_pull_requests=False)


@given(
    st.binary(max_size=60)
    | st.from_regex(r'\{"(data|errors)": ?[\[\]{}":a-z0-9, ]{0,20}\}', fullmatch=True).map(str.encode)
)
def test_whatever_the_bytes_it_is_an_answer_or_unavailable(body: bytes) -> None:
    try:
        found = parse_reply(body)
    except Unavailable:
        return
    assert found.data is not None


def test_errors_beside_data_are_kept_short_and_without_control_characters() -> None:
    error = {"type": "FORBIDDEN", "message": "no\x1b[31m" + "x" * 900, "path": ["repository", "page", "nodes", 3]}
    code = {"message": "m", "extensions": {"code": "undefinedField", "fieldName": "issueType"}}
    found = parse_reply(json.dumps({"data": {"repository": None}, "errors": [error, code]}).encode())
    assert found.data == {"repository": None}
    first, second = found.troubles
    assert (first.kind, first.path) == ("FORBIDDEN", ("repository", "page", "nodes", 3))
    assert "\x1b" not in first.message
    assert len(first.message) < 200
    assert (second.kind, second.field) == ("undefinedField", "issueType")


def test_what_is_left_is_read_and_may_be_unknown() -> None:
    limit = {"cost": 2, "limit": 5_000, "remaining": 4_000, "resetAt": "2026-01-02T03:04:05Z"}
    found = parse_spending(Reply({"rateLimit": limit}))
    assert found is not None
    assert (found.cost, found.remaining, found.resets_at.timestamp()) == (2, 4_000, OPENED)
    assert parse_spending(Reply({"rateLimit": None})) is None
    with pytest.raises(Unavailable):
        parse_spending(Reply({"rateLimit": {"cost": "a lot"}}))


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        (trouble("RATE_LIMITED"), True),
        (trouble("RATE_LIMIT"), True),
        (Trouble("graphql_rate_limit", "m"), True),
        (trouble("", message="You have exceeded a secondary rate limit."), True),
        (trouble("FORBIDDEN", message="Resource not accessible by integration"), False),
    ],
)
def test_rate_limits_are_told_by_type_code_or_words(said: Trouble, is_one: bool) -> None:
    assert is_rate_limit(said) is is_one


def test_permissions_for_parts_of_items_are_named() -> None:
    said = (
        trouble("FORBIDDEN", *PAGE, "nodes", 0, "closingIssuesReferences"),
        trouble("FORBIDDEN", *PAGE, "nodes", 1, "mergeCommit"),
        trouble("NOT_FOUND", *PAGE, "nodes", 2, "labels"),
    )
    verdict = judge(Reply(reply(NODE).data, said), "pull_requests", is_smallest=False)
    assert (set(verdict.lacks), verdict.refusal) == ({"issues", "contents"}, None)


def test_a_list_that_may_not_be_read_is_named_by_its_permission() -> None:
    verdict = judge(Reply({"repository": None}, (trouble("FORBIDDEN", *PAGE),)), "pull_requests", is_smallest=False)
    assert (set(verdict.lacks), verdict.refusal) == ({"pull_requests"}, Refusal.LIST)


def test_a_list_of_which_nothing_is_shown_is_refused_too() -> None:
    data = {"repository": {"databaseId": 7, "page": {"pageInfo": {"hasNextPage": False}, "nodes": None}}}
    verdict = judge(Reply(data, (trouble("FORBIDDEN", *PAGE, "nodes"),)), "issues", is_smallest=False)
    assert (set(verdict.lacks), verdict.refusal) == ({"issues"}, Refusal.LIST)


def test_the_tracker_holds_what_was_opened_by_then() -> None:
    facts = {
        n: IssueFact(n, False, "open", ("bug",), None, opened, None, None) for n, opened in ((1, 10), (2, 20), (3, 30))
    }
    assert tracker_of(EvidenceFacts(facts), 20, ("bug",)) == Tracker({1: facts[1], 2: facts[2]}, 20, ("bug",))


@pytest.mark.parametrize(
    ("standing", "is_complete"),
    [
        (Standing(), False),
        (Standing(issues=Reach(until=5)), False),
        (Standing(issues=Reach(until=5), pull_requests=Reach(cursor="c")), False),
        (Standing(issues=Reach(until=5), pull_requests=Reach(until=5)), True),
        (Standing(issues=Reach(until=5), lacks=("pull_requests",)), True),
        (Standing(lacks=("issues", "pull_requests")), True),
    ],
)
def test_facts_are_complete_once_both_lists_were_read_or_refused(standing: Standing, is_complete: bool) -> None:
    assert EvidenceFacts({}, standing).is_complete is is_complete
