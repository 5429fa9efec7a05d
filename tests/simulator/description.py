"""Validate requests and responses against GitHub's OpenAPI description, cut down in `descriptions/`.

description = load_description("api.github.com")
operation, values = description.find("GET", "/repos/acme/shop")
operation.request_problems(values, query={}, body=None)    # a list of sentences, empty if valid
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_FOLDER = Path(__file__).parent / "descriptions"
_URN = "urn:github"
_WITH_SLASHES = {"branch", "path", "ref"}  # GitHub accepts `commits/feature/x` unescaped
_SHOWN = 200  # characters of a problem

Json = dict[str, Any]


class Operation:
    """One method of one path, for example `GET /repos/{owner}/{repo}`."""

    def __init__(self, name: str, facts: Mapping[str, Any], registry: Registry[Any]) -> None:
        self.name = name
        self.method, self.template = name.split(" ")
        self._facts = facts
        self._registry = registry
        self._validators: dict[str, Draft202012Validator] = {}
        self._parameters = {(each["in"], each["name"]): each for each in facts["parameters"]}

    @property
    def statuses(self) -> frozenset[int]:
        return frozenset(int(status) for status in self._facts["responses"])

    def request_problems(self, values: Mapping[str, str], query: Mapping[str, str], body: object) -> list[str]:
        """Return the problems of path values, query and JSON body; None means no body."""
        problems = []
        for place, given in (("path", values), ("query", query)):
            for name, value in given.items():
                parameter = self._parameters.get((place, name))
                if parameter is None:
                    problems.append(f"{place} parameter {name} is unknown")
                else:
                    problems += self._problems(f"{place} {name}", parameter["schema"], _typed(value, parameter))
        problems += [
            f"query parameter {name} is missing"
            for (place, name), parameter in self._parameters.items()
            if place == "query" and parameter["required"] and name not in query
        ]
        if body is None:
            return [*problems, "a body is missing"] if self._facts.get("body_required") else problems
        schema = self._facts.get("body")
        return problems if schema is None else problems + self._problems("body", schema, body)

    def response_problems(self, status: int, body: object) -> list[str]:
        """Return the problems of a response, including an undocumented status."""
        responses = self._facts["responses"]
        if str(status) not in responses:
            return [f"status {status} is undocumented"]
        schema = responses[str(status)]
        return [] if schema is None else self._problems(str(status), schema, body)

    def _problems(self, place: str, schema: Json, value: object) -> list[str]:
        validator = self._validators.get(place)
        if validator is None:
            validator = Draft202012Validator(_absolute(schema), registry=self._registry, format_checker=_FORMATS)
            self._validators[place] = validator
        return [f"{place}: {_sentence(error)}" for error in validator.iter_errors(value)]


class Description:
    """All operations of one description."""

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name = name
        self.is_enterprise = name.startswith("ghes")
        facts = corrected(facts)
        schemas = {key: _absolute(_with_null(schema)) for key, schema in facts["schemas"].items()}
        resource: Resource[Any] = DRAFT202012.create_resource({"schemas": schemas})
        registry: Registry[Any] = Registry().with_resource(_URN, resource)
        self.operations = {
            key: Operation(key, _with_null(operation), registry) for key, operation in facts["operations"].items()
        }
        # Longest template first, so that `commits/{ref}/check-runs` does not match as a ref with a slash.
        ordered = sorted(self.operations.values(), key=lambda each: -len(each.template))
        self._patterns = [(each.method, _pattern(each.template), each) for each in ordered]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation of a percent-encoded path and its decoded values, or None."""
        for its_method, pattern, operation in self._patterns:
            if its_method == method and (match := pattern.fullmatch(path)):
                return operation, {key: unquote(value) for key, value in match.groupdict().items()}
        return None


@functools.cache
def load_description(name: str) -> Description:
    """Load a description: `api.github.com` or `ghes-3.19`."""
    return Description(name, json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def corrected(facts: Mapping[str, Any]) -> Json:
    """Correct obvious errors in the description; the file itself stays as GitHub wrote it."""
    better: Json = copy.deepcopy(dict(facts))
    # It requires the account of a listed installation to be both a user and an enterprise.
    responses = better["operations"]["GET /app/installations"]["responses"]
    responses["200"] = {"type": "array", "items": {"$ref": "#/schemas/installation"}}
    # It omits the conclusion that GitHub gives to a check run that was never completed.
    conclusions = better["schemas"]["check-run"]["properties"]["conclusion"]["enum"]
    conclusions += [] if "stale" in conclusions else ["stale"]
    return better


def _sentence(error: Any) -> str:
    """Describe where and what, leaving out long values."""
    message = error.message
    if isinstance(error.instance, (dict, list)):
        message = message.replace(repr(error.instance), "it")
    return f"{'/'.join(str(part) for part in error.absolute_path)}: {message[:_SHOWN]}"


def _pattern(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'.+' if match[1] in _WITH_SLASHES else '[^/]+'})"

    return re.compile(re.sub(r"{(\w+)}", group, template))


def _typed(text: str, parameter: Mapping[str, Any]) -> object:
    """Convert a path or query value to its schema's type; return the text if it does not fit."""
    kind = parameter["schema"].get("type")
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _with_null(value: Any) -> Any:
    """Replace OpenAPI 3.0's `nullable: true` by the type "null" of JSON Schema and OpenAPI 3.1."""
    if isinstance(value, list):
        return [_with_null(each) for each in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _with_null(each) for key, each in value.items()}
    if schema.get("nullable") is not True:  # a property may have that name, too
        return schema
    del schema["nullable"]
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [{"type": "null"}, schema]}


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _URN + each if key == "$ref" and isinstance(each, str) else _absolute(each) for key, each in value.items()
    }


_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_a_time(value: object) -> bool:
    """Require a time zone: GitHub's own times end with Z."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
