"""What the description rejects, in both versions of GitHub."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.rows import each_row
from tests.simulator.cut_descriptions import NAMES, OPERATIONS, cut
from tests.simulator.description import Description, load_description
from tests.simulator.routes import ROUTES

CHECK_RUNS = "/repos/acme/shop/check-runs"
ANNOTATION = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
RUN = {
    "name": "assay/screen",
    "head_sha": "a" * 40,
    "status": "completed",
    "conclusion": "neutral",
    "output": {"title": "t", "summary": "s", "annotations": [ANNOTATION]},
}


@pytest.fixture(params=NAMES)
def description(request: pytest.FixtureRequest) -> Description:
    return load_description(request.param)


def problems(description: Description, method: str, path: str, body: Any = None, **query: str) -> list[str]:
    found = description.find(method, path)
    assert found is not None, f"{method} {path} is not described"
    operation, values = found
    return operation.request_problems(values, query, body)


def test_a_correct_check_run_is_accepted(description):
    assert problems(description, "POST", CHECK_RUNS, RUN) == []


@each_row(
    ("path", "body", "said"),
    [
        (CHECK_RUNS, {**RUN, "conclusion": "bogus"}, "conclusion: 'bogus'"),
        (CHECK_RUNS, {"name": "n"}, "'head_sha' is a required property"),
        (CHECK_RUNS, {**RUN, "output": {"title": "t", "summary": "s", "annotations": [ANNOTATION] * 60}}, "too long"),
        (CHECK_RUNS, {**RUN, "actions": [{"label": "x" * 25, "description": "d", "identifier": "i"}]}, "too long"),
        (CHECK_RUNS, {**RUN, "started_at": "yesterday"}, "is not a 'date-time'"),
        (CHECK_RUNS, {**RUN, "started_at": "2026-01-01T00:00:00"}, "is not a 'date-time'"),
        (CHECK_RUNS, None, "a body is missing"),
        ("/repos/acme/shop/issues/comments/5/reactions", {"content": "thumbs"}, "'thumbs' is not one of"),
        ("/app/installations/7/access_tokens", {"permissions": {"checks": "admin"}}, "'admin' is not one of"),
        ("/repos/acme/shop/issues/one/comments", {"body": "b"}, "path issue_number"),
    ],
)
def test_invalid_bodies_are_rejected(description, path, body, said):
    assert any(said in problem for problem in problems(description, "POST", path, body))


def test_an_optional_body_may_be_missing(description):
    assert problems(description, "POST", "/app/installations/7/access_tokens") == []


def test_query_parameters_are_validated(description):
    path = f"/repos/acme/shop/commits/{'a' * 40}/check-runs"
    assert problems(description, "GET", path, check_name="assay/screen", filter="all", per_page="100") == []
    assert problems(description, "GET", path, filter="newest")
    assert problems(description, "GET", path, per_page="many")
    assert problems(description, "GET", path, external_id="1") == ["query parameter external_id is unknown"]


def test_an_unknown_operation_is_not_found(description):
    assert description.find("POST", "/repos/acme/shop/check-run") is None
    assert description.find("DELETE", "/repos/acme/shop") is None


@each_row(("path", "ref"), [("feature/x", "feature/x"), ("feature%2Fx", "feature/x"), ("a%3Fb", "a?b")])
def test_a_ref_may_contain_slashes_and_escapes(description, path, ref):
    for suffix, template in (("", "commits/{ref}"), ("/check-runs", "commits/{ref}/check-runs")):
        operation, values = description.find("GET", f"/repos/acme/shop/commits/{path}{suffix}")
        assert operation.template.endswith(template)
        assert values["ref"] == ref


def test_null_is_accepted_only_where_allowed(description):
    user = {"login": "a", "id": 1, "node_id": "n", "avatar_url": "u", "gravatar_id": None, "type": "User"}
    user |= dict.fromkeys(
        ("url", "html_url", "followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url",
         "organizations_url", "repos_url", "events_url", "received_events_url"), "u")  # fmt: skip
    user["site_admin"] = False
    shown = {"permission": "write", "role_name": "maintain"}
    operation, _ = description.find("GET", "/repos/acme/shop/collaborators/alice/permission")
    assert operation.response_problems(200, {**shown, "user": None}) == []
    assert operation.response_problems(200, {**shown, "user": {**user, "role_name": "maintain"}}) == []
    assert operation.response_problems(200, {**shown, "user": {**user, "login": None, "role_name": "maintain"}})
    assert operation.response_problems(200, {**shown, "role_name": None, "user": None})


def test_an_undocumented_status_is_a_problem(description):
    operation, _ = description.find("GET", "/app")
    assert operation.response_problems(418, {}) == ["status 418 is undocumented"]


def test_every_operation_has_a_route_and_every_route_an_operation():
    assert set(ROUTES) == set(OPERATIONS) == set(load_description("api.github.com").operations)


def test_validation_takes_less_than_a_millisecond_once_warm(description):
    problems(description, "POST", CHECK_RUNS, RUN)
    took = []
    for _ in range(50):
        started = time.perf_counter()
        problems(description, "POST", CHECK_RUNS, RUN)
        took.append(time.perf_counter() - started)
    assert sorted(took)[10] < 0.001


def test_an_unknown_keyword_raises():
    with pytest.raises(KeyError):
        cut({"openapi": "3.1.0", "paths": {}, "components": {"schemas": {}}})
    from tests.simulator.cut_descriptions import _schema

    with pytest.raises(ValueError, match="'propertyNames'"):
        _schema({"type": "object", "propertyNames": {}})


def test_properties_named_like_prose_are_kept():
    from tests.simulator.cut_descriptions import _schema

    schema = {"description": "prose", "type": "object", "properties": {"description": {"type": "string", "title": "t"}}}
    assert _schema(schema) == {"type": "object", "properties": {"description": {"type": "string"}}}
