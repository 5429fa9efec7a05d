"""The simulated GraphQL: what it rejects, what it costs, and what it shows."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from graphql import GraphQLObjectType, parse
from graphql.language import OperationDefinitionNode

from tests.rows import each_row
from tests.simulator.cut_graphql import COMMITTED, FIELDS, cut, render
from tests.simulator.graphql_limits import QueryError, price
from tests.simulator.routes_graphql import load_schema
from tests.simulator.world import World, make_world

NUMBERS = 'query { repository(owner: "acme", name: "shop") { issues(first: 100) { nodes { number } } } }'


def ask(world: World, query: str, variables: dict | None = None, token: str | None = None, features: str = ""):
    token = world.token if token is None else token
    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= {"graphql-features": features} if features else {}
    body = {"query": query, "variables": variables or {}}
    return world.http.post(f"{world.github.url}/api/graphql", json=body, headers=headers)


def of_shop(selection: str) -> str:
    return f'query {{ repository(owner: "acme", name: "shop") {{ {selection} }} }}'


def operation_of(query: str) -> OperationDefinitionNode:
    (found,) = parse(query).definitions
    assert isinstance(found, OperationDefinitionNode)
    return found


def numbers(response) -> list[int]:
    return [node["number"] for node in response.json()["data"]["repository"]["issues"]["nodes"]]


def test_issues_are_ordered_by_change_and_filtered_by_time(world):
    at = world.clock.now()
    for number, days in ((1, 5), (2, 9), (3, 1)):
        world.shop.issue(number, opened_at=at - timedelta(days=days))
    world.shop.items[2].label("bug")
    query = "issues(first: 9, orderBy: {field: UPDATED_AT, direction: %s}%s) { nodes { number } }"
    assert numbers(ask(world, of_shop(query % ("ASC", "")))) == [1, 3, 2]
    assert numbers(ask(world, of_shop(query % ("DESC", "")))) == [2, 3, 1]
    since = (at - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert numbers(ask(world, of_shop(query % ("ASC", f', filterBy: {{since: "{since}"}}')))) == [3, 2]


def test_a_cursor_is_a_position_not_an_offset(world):
    at = world.clock.now() - timedelta(days=9)
    for number in range(1, 6):
        world.shop.issue(number, opened_at=at + timedelta(hours=number))
    query = (
        'query($after: String) { repository(owner: "acme", name: "shop") { issues(first: 2, after: $after, orderBy: '
        "{field: UPDATED_AT, direction: ASC}) { pageInfo { hasNextPage endCursor } nodes { number } } } }"
    )
    first = ask(world, query)
    assert numbers(first) == [1, 2]
    info = first.json()["data"]["repository"]["issues"]["pageInfo"]
    assert info["hasNextPage"] is True
    world.shop.items[1].touch()
    second = ask(world, query, {"after": info["endCursor"]})
    assert numbers(second) == [3, 4]
    third = ask(world, query, {"after": second.json()["data"]["repository"]["issues"]["pageInfo"]["endCursor"]})
    assert numbers(third) == [5, 1]
    wrong = ask(world, query, {"after": "bogus"}).json()
    assert wrong["errors"][0]["type"] == "INVALID_CURSOR_ARGUMENTS"


@each_row(
    ("query", "said"),
    [
        (of_shop("issues(first: 1) { nodes { colour } }"), "Field 'colour' doesn't exist on type 'Issue'"),
        (of_shop("isues(first: 1) { nodes { number } }"), "Field 'isues' doesn't exist on type 'Repository'"),
        (of_shop("issues(first: 1, newest: true) { nodes { number } }"), "Unknown argument 'newest'"),
        (of_shop("issues(first: 1, orderBy: {field: NAME, direction: ASC}) { nodes { number } }"), "NAME"),
        ("query { repository(owner: 5) { databaseId } }", "String cannot represent"),
        ("query {", "Syntax Error"),
        (of_shop("issues { nodes { number } }"), "You must provide a `first` or `last` value"),
        (of_shop("issues(first: 101) { nodes { number } }"), "exceeds the `first` limit of 100 records"),
        (of_shop("issues(first: 0) { nodes { number } }"), "Requesting 0 records"),
        (of_shop("issues(first: 100) { nodes { repository { issues(first: 100) { nodes { labels(first: 100) "
                 "{ nodes { name } } } } } } }"), "exceeds the maximum limit of 500,000"),
    ],
)  # fmt: skip
def test_invalid_queries_are_rejected_as_violations(world, query, said):
    response = ask(world, query)
    assert response.status_code == 200
    assert said in response.json()["errors"][0]["message"]
    assert len(world.clear_violations()) == 1


@each_row(
    ("selection", "points", "nodes"),
    [
        ("issues(first: 100) { nodes { number } }", 1, 100),
        ("issues(first: 100) { nodes { labels(first: 20) { nodes { name } } } }", 1, 2_100),
        ("pullRequests(first: 100) { nodes { labels(first: 20) { nodes { name } } "
         "closingIssuesReferences(first: 20) { nodes { number } } } }", 2, 4_100),
        ("pullRequests(first: 50) { nodes { labels(first: 20) { nodes { name } } "
         "closingIssuesReferences(first: 20) { nodes { number } } } }", 1, 2_050),
        ("databaseId", 1, 0),
    ],
)  # fmt: skip
def test_queries_are_priced(selection, points, nodes):
    """The example of GitHub's documentation: 1 + 50 + 50 x 60 lists would be 31 points."""
    found = price(operation_of(of_shop(selection)), {})
    assert (found.points, found.nodes) == (points, nodes)


def test_page_sizes_in_variables_count():
    operation = operation_of(
        "query($n: Int!) { " + of_shop("issues(first: $n) { totalCount }").removeprefix("query { ")
    )
    assert price(operation, {"n": 7}).nodes == 7
    with pytest.raises(QueryError, match="Requesting None"):
        price(operation, {})


def test_the_rate_limit_is_reported_and_enforced(world):
    world.github.graphql.points_an_hour = 2
    query = "query { rateLimit { cost limit remaining resetAt } }"
    first = ask(world, query)
    assert first.json()["data"]["rateLimit"]["remaining"] == 1
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert first.headers["x-ratelimit-resource"] == "graphql"
    ask(world, query)
    refused = ask(world, query)
    assert refused.status_code == 200
    assert refused.json()["errors"][0]["type"] == "RATE_LIMITED"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert world.ask("GET", "/repos/acme/shop").headers["x-ratelimit-remaining"] == "4999"
    world.clock.advance(3_601)
    assert "data" in ask(world, query, token=world.installation.token()).json()


def test_too_many_queries_hit_the_secondary_limit(world):
    world.github.graphql.queries_a_minute = 1
    assert ask(world, NUMBERS).status_code == 200
    refused = ask(world, NUMBERS)
    assert (refused.status_code, refused.headers["retry-after"]) == (403, "60")


@pytest.mark.parametrize(
    ("permission", "selection", "path"),
    [
        ("issues", "issues(first: 1) { nodes { number } }", ["repository", "issues"]),
        ("pull_requests", "pullRequests(first: 1) { nodes { number } }", ["repository", "pullRequests"]),
    ],
)
def test_a_denied_list_nulls_the_repository(world, permission, selection, path):
    granted = {name: "read" for name in ("contents", "issues", "pull_requests") if name != permission}
    response = ask(world, of_shop(selection), token=world.installation.token(granted)).json()
    assert response["data"] == {"repository": None}
    (error,) = response["errors"]
    assert (error["type"], error["path"]) == ("FORBIDDEN", path)
    assert error["message"] == "Resource not accessible by integration"


def test_closed_issues_require_the_issues_permission(world):
    world.shop.pull_request(2, closes=[world.shop.issue(1)], merged=world.head)
    closes = "closingIssuesReferences(first: 1) { nodes { number } }"
    selection = f"pullRequests(first: 1) {{ nodes {{ mergeCommit {{ oid }} {closes} }} }}"
    whole = ask(world, of_shop(selection)).json()["data"]["repository"]["pullRequests"]["nodes"]
    assert whole == [{"mergeCommit": {"oid": world.head}, "closingIssuesReferences": {"nodes": [{"number": 1}]}}]
    token = world.installation.token({"contents": "read", "pull_requests": "read"})
    response = ask(world, of_shop(selection), token=token).json()
    (node,) = response["data"]["repository"]["pullRequests"]["nodes"]
    assert node["closingIssuesReferences"] is None
    assert response["errors"][0]["path"][-1] == "closingIssuesReferences"


def test_hidden_repositories_are_not_found(world):
    hidden = world.github.account("globex", "Organization").repository("vault", private=True)
    query = NUMBERS.replace("acme", "globex").replace("shop", hidden.name)
    response = ask(world, query).json()
    assert (response["data"], response["errors"][0]["type"]) == ({"repository": None}, "NOT_FOUND")
    assert ask(world, NUMBERS, token="").status_code == 401
    assert ask(world, NUMBERS, token="bogus").status_code == 401


def test_issue_types_require_the_feature_header(world):
    world.shop.issue(1, issue_type="Bug")
    query = of_shop("issues(first: 1) { nodes { issueType { name } } }")
    shown = ask(world, query, features="issue_types").json()["data"]["repository"]["issues"]["nodes"]
    assert shown == [{"issueType": {"name": "Bug"}}]
    error = ask(world, query).json()["errors"][0]
    assert error["extensions"] == {"code": "undefinedField", "typeName": "Issue", "fieldName": "issueType"}
    world.github.graphql.has_issue_types = False
    assert "errors" in ask(world, query, features="issue_types").json()


def test_large_pages_may_be_too_slow(world):
    world.github.graphql.slow_above = 50
    response = ask(world, NUMBERS)
    assert response.status_code == 502
    assert "Something went wrong" in json.dumps(response.json())


def test_items_may_be_hidden_or_broken(world):
    world.shop.issue(1), world.shop.issue(2)
    world.github.graphql.unseen, world.github.graphql.broken = {1}, {2}
    response = ask(world, of_shop("issues(first: 9) { nodes { number labels(first: 1) { nodes { name } } } }")).json()
    assert response["data"]["repository"]["issues"]["nodes"] == [None, {"number": 2, "labels": None}]
    assert response["errors"][0]["path"] == ["repository", "issues", "nodes", 1, "labels"]


def test_malformed_queries_are_violations(world):
    response = world.http.post(
        f"{world.github.url}/api/graphql", content=b"{", headers={"authorization": f"Bearer {world.token}"}
    )
    assert response.status_code == 400
    assert len(world.clear_violations()) == 1


def test_violations_fail_their_test(tmp_path):
    with pytest.raises(AssertionError, match="colour"), make_world(tmp_path) as world:
        ask(world, of_shop("issues(first: 1) { nodes { colour } }"))


class TestCut:
    def test_the_cut_has_the_queried_fields_and_no_prose(self):
        text = COMMITTED.read_text(encoding="utf-8")
        assert '"""' not in text
        assert "Licence: MIT" in text.splitlines()[1]
        schema = load_schema(has_issue_types=False)
        for name, fields in FIELDS.items():
            found = schema.type_map[name]
            assert isinstance(found, GraphQLObjectType)
            assert set(found.fields) == set(fields)

    def test_a_removed_field_raises(self):
        with pytest.raises(KeyError):
            cut("type Query { rateLimit: Int }")

    def test_another_licence_raises(self):
        with pytest.raises(ValueError, match="licence"):
            render("", {"name": "n", "version": "1", "license": "Proprietary"})
