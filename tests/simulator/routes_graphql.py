"""GraphQL: validate a query against GitHub's schema, price it, and execute it on the simulator's state.

Issue types are not in the schema that GitHub publishes: they exist only for requests with the feature's header.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute_sync, parse, validate
from graphql.language import DocumentNode, OperationDefinitionNode

from tests.simulator.api import headers_of
from tests.simulator.graphql_limits import Price, QueryError, price
from tests.simulator.messages import Actor, InvalidRequest, Refused, Request, Response
from tests.simulator.state import stamp
from tests.simulator.tokens import identify
from tests.simulator.tracking import Item

if TYPE_CHECKING:
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository

GRAPHQL_PATH = "/api/graphql"
_CUT = Path(__file__).parent / "descriptions" / "graphql.graphql"
_ISSUE_TYPES = "type IssueType { name: String! } extend type Issue { issueType: IssueType }"
_UNKNOWN_FIELD = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
_NOT_ACCESSIBLE = "Resource not accessible by integration"
_WENT_WRONG = "Something went wrong while executing your query. This may be the result of a timeout."
Json = dict[str, Any]


@functools.cache
def load_schema(*, has_issue_types: bool) -> GraphQLSchema:
    text = _CUT.read_text(encoding="utf-8")
    return build_schema(text + _ISSUE_TYPES if has_issue_types else text)


def handle_graphql(github: GitHub, request: Request) -> tuple[Response, Actor]:
    actor = Actor()
    try:
        actor = identify(github, request.headers)
        if actor.installation is None:
            raise Refused(401, "This endpoint requires you to be authenticated.")
        response = Response(200, _execute(github, request, actor))
    except Refused as refusal:
        response = refusal.response
        if isinstance(refusal, InvalidRequest):
            github.violate(f"{request.method} {request.path}: {refusal}")
    except QueryError as refusal:
        response = Response(200, {"errors": [{"type": refusal.kind, "message": str(refusal)}]})
        if refusal.kind != "RATE_LIMITED":
            github.violate(f"GraphQL: {refusal}")
    response.headers = headers_of(github, actor, response)
    if actor.installation is not None:
        response.headers |= github.graphql.headers(actor.installation.installation_id)
    return response, actor


def _execute(github: GitHub, request: Request, actor: Actor) -> Json:
    assert actor.installation is not None
    github.graphql.enter(actor.installation.installation_id)
    document, variables, problem = _read(github, request)
    if problem is not None:
        return problem
    operation = next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    cost = price(operation, variables)
    usage = github.graphql.usage(actor.installation.installation_id)
    usage.used += cost.points
    if cost.largest > github.graphql.slow_above:
        github.graphql.asked.append({**variables, "failed": True})
        response = Refused(502, _WENT_WRONG)
        response.response.body = {"data": None, "errors": [{"message": _WENT_WRONG}]}
        raise response
    github.graphql.asked.append(variables)
    root = _Root(github, actor, cost)
    found = execute_sync(_schema(github, request), document, root.query(), variable_values=dict(variables))
    errors = [_shown(error) for error in found.errors or ()]
    return {"data": found.data, **({"errors": errors} if errors else {})}


def _read(github: GitHub, request: Request) -> tuple[DocumentNode, Mapping[str, Any], Json | None]:
    """Parse the query and its variables, and return any validation errors as a response."""
    try:
        body = json.loads(request.body)
        text, variables = body["query"], body.get("variables") or {}
    except (ValueError, KeyError, TypeError):
        raise InvalidRequest(400, "Problems parsing JSON") from None
    try:
        document = parse(text)
    except GraphQLError as error:
        github.violate(f"GraphQL: {error.message}")
        return DocumentNode(), {}, {"errors": [{"message": error.message}]}
    problems = validate(_schema(github, request), document)
    if not problems:
        return document, variables, None
    errors = [_validation_error(problem) for problem in problems]
    if any(error["extensions"].get("fieldName") != "issueType" for error in errors):
        github.violate(f"GraphQL: {problems[0].message}")
    return document, variables, {"errors": errors}


def _schema(github: GitHub, request: Request) -> GraphQLSchema:
    asked = "issue_types" in request.headers.get("graphql-features", "")
    return load_schema(has_issue_types=asked and github.graphql.has_issue_types)


def _validation_error(problem: GraphQLError) -> Json:
    places = [{"line": each.line, "column": each.column} for each in problem.locations or ()]
    unknown = _UNKNOWN_FIELD.match(problem.message)
    if unknown is None:
        return {"message": problem.message, "locations": places, "extensions": {}}
    field, of_type = unknown.groups()
    extensions = {"code": "undefinedField", "typeName": of_type, "fieldName": field}
    message = f"Field '{field}' doesn't exist on type '{of_type}'"
    return {"message": message, "locations": places, "path": ["query", "repository", field], "extensions": extensions}


def _shown(error: GraphQLError) -> Json:
    cause = error.original_error
    shown: Json = {"message": error.message, "path": error.path}
    shown["locations"] = [{"line": each.line, "column": each.column} for each in error.locations or ()]
    if isinstance(cause, QueryError) and cause.kind:
        shown |= {"type": cause.kind, "extensions": {"saml_failure": False}}
    elif not isinstance(cause, QueryError):
        raise error
    return shown


class _Root:
    """The root of the results. Fields that need work are functions, which graphql-core calls on demand."""

    def __init__(self, github: GitHub, actor: Actor, cost: Price) -> None:
        self._github = github
        self._actor = actor
        self._cost = cost

    def query(self) -> Json:
        return {"repository": self._repository, "rateLimit": self._rate_limit}

    def _rate_limit(self, info: object, **_: object) -> Json | None:
        assert self._actor.installation is not None
        graphql, number = self._github.graphql, self._actor.installation.installation_id
        if graphql.points_an_hour is None:
            return None
        usage = graphql.usage(number)
        return {
            "cost": self._cost.points,
            "limit": graphql.points_an_hour,
            "nodeCount": self._cost.nodes,
            "remaining": graphql.remaining(number),
            "resetAt": stamp(usage.resets_at),
            "used": usage.used,
        }

    def _repository(self, info: object, owner: str, name: str, **_: object) -> Json:
        repo, _is_old = self._github.look_up(owner, name)
        token = self._actor.token
        if repo is None or token is None or (repo.private and not token.reaches(repo)):
            raise QueryError("NOT_FOUND", f"Could not resolve to a Repository with the name '{owner}/{name}'.")

        def items(are_pull_requests: bool) -> Callable[..., Json]:
            permission = "pull_requests" if are_pull_requests else "issues"

            def listed(info: object, **arguments: Any) -> Json:
                self._require(repo, permission)
                found = [each for each in repo.items.values() if each.is_pull_request == are_pull_requests]
                return self._connection(found, arguments)

            return listed

        return {
            "databaseId": repo.repository_id,
            "nameWithOwner": repo.full_name,
            "issues": items(False),
            "pullRequests": items(True),
        }

    def _require(self, repo: Repository, permission: str) -> None:
        token = self._actor.token
        assert token is not None
        if token.reaches(repo) and not token.allows(permission, "read"):
            raise QueryError("FORBIDDEN", _NOT_ACCESSIBLE)

    def _connection(self, items: Iterable[Item], arguments: Mapping[str, Any]) -> Json:
        """Return one page. As on GitHub, a cursor encodes a position in the order, not an offset."""
        order = arguments.get("orderBy") or {"field": "CREATED_AT", "direction": "ASC"}
        assert order["field"] in ("CREATED_AT", "UPDATED_AT"), order
        since = (arguments.get("filterBy") or {}).get("since")
        found = [item for item in items if since is None or item.updated_at >= datetime.fromisoformat(since)]

        def place(item: Item) -> tuple[str, int]:
            return (stamp(item.opened_at if order["field"] == "CREATED_AT" else item.updated_at), item.number)

        total, is_descending = len(found), order["direction"] == "DESC"
        found.sort(key=place, reverse=is_descending)
        after = _parse_cursor(arguments["after"]) if arguments.get("after") else None
        if after is not None:
            found = [item for item in found if (place(item) < after if is_descending else place(item) > after)]
        page = found[: arguments["first"]]
        info = {
            "hasNextPage": len(found) > len(page),
            "hasPreviousPage": after is not None,
            "startCursor": _cursor(place(page[0])) if page else None,
            "endCursor": _cursor(place(page[-1])) if page else None,
        }
        return {"nodes": [self._item(each) for each in page], "pageInfo": info, "totalCount": total}

    def _item(self, item: Item) -> Json | None:
        if item.number in self._github.graphql.unseen:
            return None
        return {
            "number": item.number,
            "state": item.state,
            "createdAt": stamp(item.opened_at),
            "updatedAt": stamp(item.updated_at),
            "closedAt": None if item.closed_at is None else stamp(item.closed_at),
            "labels": lambda info, **arguments: self._labels(item, arguments["first"]),
            "issueType": None if item.issue_type is None else {"name": item.issue_type},
            "repository": {"databaseId": item.repository.repository_id},
            "mergeCommit": lambda info: self._merge_commit(item),
            "closingIssuesReferences": lambda info, **arguments: self._closes(item, arguments),
        }

    def _labels(self, item: Item, first: int) -> Json:
        if item.number in self._github.graphql.broken:
            raise QueryError("", _WENT_WRONG)
        return {"nodes": [{"name": name} for name in item.labels[:first]]}

    def _merge_commit(self, item: Item) -> Json | None:
        self._require(item.repository, "contents")
        return None if item.merged is None else {"oid": item.merged}

    def _closes(self, item: Item, arguments: Mapping[str, Any]) -> Json:
        self._require(item.repository, "issues")
        return self._connection(item.closes, arguments)


def _cursor(place: tuple[str, int]) -> str:
    return base64.b64encode(b"cursor:v2:" + json.dumps(place).encode()).decode()


def _parse_cursor(text: str) -> tuple[str, int]:
    try:
        moment, number = json.loads(base64.b64decode(text, validate=True).removeprefix(b"cursor:v2:"))
    except ValueError:
        message = f"`{text}` does not appear to be a valid cursor."
        raise QueryError("INVALID_CURSOR_ARGUMENTS", message) from None
    return moment, number
