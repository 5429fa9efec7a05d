"""Cut GitHub's OpenAPI descriptions down to the operations that the App uses, without prose.

    npm install --prefix FOLDER @octokit/openapi
    python -m tests.simulator.cut_descriptions FOLDER/node_modules/@octokit/openapi/generated

Each operation or schema is one line, with sorted keys, so that a new version makes a short diff.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAMES = ("api.github.com", "ghes-3.19")
FOLDER = Path(__file__).parent / "descriptions"

OPERATIONS = (
    "GET /app",
    "GET /app/hook/config",
    "GET /app/hook/deliveries",
    "GET /app/hook/deliveries/{delivery_id}",
    "GET /app/installations",
    "GET /app/installations/{installation_id}",
    "GET /installation/repositories",
    "GET /rate_limit",
    "GET /repos/{owner}/{repo}",
    "GET /repos/{owner}/{repo}/branches/{branch}",
    "GET /repos/{owner}/{repo}/check-runs/{check_run_id}",
    "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
    "GET /repos/{owner}/{repo}/commits/{ref}",
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
    "GET /repos/{owner}/{repo}/contents/{path}",
    "GET /repos/{owner}/{repo}/installation",
    "GET /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "GET /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "GET /user/{account_id}",
    "GET /users/{username}",
    "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
    "PATCH /repos/{owner}/{repo}/check-suites/preferences",
    "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "POST /app-manifests/{code}/conversions",
    "POST /app/hook/deliveries/{delivery_id}/attempts",
    "POST /app/installations/{installation_id}/access_tokens",
    "POST /repos/{owner}/{repo}/check-runs",
    "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
)

Json = dict[str, Any]
_PLAIN = {"enum", "format", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "nullable",
          "pattern", "required", "type", "uniqueItems"}  # fmt: skip
_LISTS_OF_SCHEMAS = {"allOf", "anyOf", "oneOf"}
_PROSE = {
    "default",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "readOnly",
    "summary",
    "title",
}


def cut(description: Mapping[str, Any]) -> Json:
    """Return the operations with their parameters, bodies and responses, and every schema that they reference.

    Raises KeyError for a removed operation and ValueError for an unknown JSON Schema keyword.
    """
    operations = {name: _operation(description, name) for name in OPERATIONS}
    schemas: Json = {}
    wanted = sorted(_references(operations))
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = _schema(description["components"]["schemas"][name])
            wanted.extend(_references(schemas[name]))
    return {"openapi": description["openapi"], "operations": operations, "schemas": schemas}


def render(facts: Mapping[str, Any]) -> str:
    """Render a cut as JSON with one operation or schema per line."""
    lines = [f'{{"openapi":{json.dumps(facts["openapi"])}']
    for part in ("operations", "schemas"):
        entries = (f"{json.dumps(name)}:{_minified(value)}" for name, value in sorted(facts[part].items()))
        lines.append(f',"{part}":{{\n' + ",\n".join(entries) + "\n}")
    return "".join(lines) + "}\n"


def _minified(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _operation(description: Mapping[str, Any], name: str) -> Json:
    method, path = name.split(" ")
    of_path = description["paths"][path]
    operation = of_path[method.lower()]
    parameters = [
        _resolve(description, each) for each in (*of_path.get("parameters", ()), *operation.get("parameters", ()))
    ]
    facts: Json = {
        "parameters": [
            {"in": each["in"], "name": each["name"], "required": each.get("required", False)}
            | {"schema": _schema(each["schema"])}
            for each in parameters
        ],
        "responses": {
            status: _json_schema(_resolve(description, response)) for status, response in operation["responses"].items()
        },
    }
    if "requestBody" in operation:
        body = _resolve(description, operation["requestBody"])
        facts["body"] = _json_schema(body)
        facts["body_required"] = body.get("required", False)
    return facts


def _json_schema(content: Mapping[str, Any]) -> Json | None:
    """Return the schema of a JSON body, or None."""
    found = content.get("content", {}).get("application/json")
    return None if found is None else _schema(found["schema"])


def _resolve(description: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        _, _, kind, name = value["$ref"].split("/")
        value = description["components"][kind][name]
    return value


def _schema(schema: Mapping[str, Any]) -> Json:
    facts: Json = {}
    for keyword, value in schema.items():
        if keyword in _PLAIN:
            facts[keyword] = value
        elif keyword in _LISTS_OF_SCHEMAS:
            facts[keyword] = [_schema(each) for each in value]
        elif keyword == "properties":  # the only place where keys are not keywords
            facts[keyword] = {name: _schema(each) for name, each in value.items()}
        elif keyword in ("items", "not", "additionalProperties"):
            facts[keyword] = _schema(value) if isinstance(value, dict) else value
        elif keyword == "$ref":
            facts[keyword] = value.replace("#/components/schemas/", "#/schemas/")
        elif keyword not in _PROSE and not keyword.startswith("x-"):
            raise ValueError(f"unknown keyword {keyword!r}")
    return facts


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix("#/schemas/")
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def main(generated: Path) -> None:
    for name in NAMES:
        text = render(cut(json.loads((generated / f"{name}.json").read_text(encoding="utf-8"))))
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        print(f"{name}: {len(text):,} characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
