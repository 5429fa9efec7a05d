"""Cut GitHub's GraphQL schema down to the fields that the App queries, without prose.

    npm install --prefix FOLDER @octokit/graphql-schema
    python -m tests.simulator.cut_graphql FOLDER/node_modules/@octokit/graphql-schema

A field keeps all its arguments, and every type that a field or an argument references is included.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphql import parse, print_ast
from graphql.language import ast

COMMITTED = Path(__file__).parent / "descriptions" / "graphql.graphql"
LICENCE = "MIT"

FIELDS: Mapping[str, tuple[str, ...]] = {
    "Commit": ("oid",),
    "Issue": ("closedAt", "createdAt", "labels", "number", "repository", "state", "updatedAt"),
    "IssueConnection": ("nodes", "pageInfo", "totalCount"),
    "Label": ("name",),
    "LabelConnection": ("nodes", "pageInfo", "totalCount"),
    "PageInfo": ("endCursor", "hasNextPage", "hasPreviousPage", "startCursor"),
    "PullRequest": (
        "closedAt", "closingIssuesReferences", "createdAt", "labels", "mergeCommit", "number", "state", "updatedAt",
    ),
    "PullRequestConnection": ("nodes", "pageInfo", "totalCount"),
    "Query": ("rateLimit", "repository"),
    "RateLimit": ("cost", "limit", "nodeCount", "remaining", "resetAt", "used"),
    "Repository": ("databaseId", "issues", "nameWithOwner", "pullRequests"),
}  # fmt: skip


def cut(schema: str) -> str:
    """Return the definitions, sorted by name. Raises KeyError for a removed type or field."""
    found = {each.name.value: each for each in parse(schema, no_location=True).definitions if hasattr(each, "name")}
    kept: dict[str, ast.Node] = {}
    wanted = sorted(FIELDS)
    while wanted:
        name = wanted.pop()
        if name in kept or name in ("Boolean", "Float", "ID", "Int", "String"):
            continue
        kept[name] = _bare(found[name])
        wanted.extend(_referenced_types(kept[name]))
    return "\n\n".join(print_ast(kept[name]) for name in sorted(kept)) + "\n"


def render(schema: str, package: Mapping[str, Any]) -> str:
    """Render the committed file. Raises ValueError if the licence has changed."""
    if package["license"] != LICENCE:
        raise ValueError(f"the licence is {package['license']} now")
    header = (
        f"# Cut by tests/simulator/cut_graphql.py from npm {package['name']} {package['version']}.\n"
        f"# Licence: {package['license']}, Copyright (c) GitHub 2025.\n\n"
    )
    return header + cut(schema)


def _bare(node: Any) -> Any:
    """Strip descriptions, directives, interfaces and unused fields."""
    if isinstance(node, ast.ObjectTypeDefinitionNode):
        fields = {each.name.value: each for each in node.fields or ()}
        chosen = tuple(_bare(fields[name]) for name in FIELDS[node.name.value])
        return _copy(node, fields=chosen, interfaces=(), directives=(), description=None)
    changes: dict[str, Any] = {"description": None, "directives": ()}
    for part in ("arguments", "fields", "values"):
        if getattr(node, part, None):
            changes[part] = tuple(_bare(each) for each in getattr(node, part))
    return _copy(node, **changes)


def _copy(node: Any, **changes: Any) -> Any:
    parts = {key: getattr(node, key) for key in node.keys if key != "loc"}
    return type(node)(**{**parts, **{key: value for key, value in changes.items() if key in parts}})


def _referenced_types(node: Any) -> Iterator[str]:
    """Yield every type that a definition references."""
    if isinstance(node, ast.NamedTypeNode):
        yield node.name.value
    for key in node.keys:
        value = getattr(node, key, None)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, ast.Node):
                yield from _referenced_types(each)


def main(folder: Path) -> None:
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    text = render((folder / "schema.graphql").read_text(encoding="utf-8"), package)
    COMMITTED.write_text(text, encoding="utf-8")
    print(f"{COMMITTED.name}: {len(text):,} characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
