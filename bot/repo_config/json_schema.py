"""The JSON Schema of `.github/assay.yml` for editors, generated from the table of keys.

`python -m bot.repo_config.json_schema > docs/assay.schema.json` writes the published copy. It is draft-07, which YAML
support in editors handles best.
"""

from __future__ import annotations

import json
from typing import Any

from bot.repo_config.keys import (
    DEFAULT_PERMISSION,
    KEYS,
    MAX_MINUTES,
    MODEL_NAME,
    PERMISSIONS,
    SECTIONS,
    Kind,
)
from pipeline.classify.patterns import MAX_PATTERN_BYTES, MAX_PATTERNS


def json_schema() -> dict[str, Any]:
    """Return the schema as JSON values."""
    top: dict[str, Any] = {}
    for key in KEYS:
        section, _, leaf = key.name.rpartition(".")
        properties = top.setdefault(section, _mapping({}))["properties"] if section else top
        properties[leaf] = {"description": key.description, **_of_kind(key.kind)}
    assert all(section in top for section in SECTIONS)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Assay: a repository's own configuration, .github/assay.yml",
        **_mapping(top),
    }


def _mapping(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_kind(kind: Kind) -> dict[str, Any]:
    if kind == "permission":
        return {"enum": list(PERMISSIONS), "default": DEFAULT_PERMISSION}
    if kind == "boolean":
        return {"type": "boolean"}
    if kind == "model":
        return {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"}
    if kind == "minutes":
        return {"type": "integer", "minimum": 1, "maximum": MAX_MINUTES}
    items: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_PATTERN_BYTES}
    if kind == "globs":
        items["pattern"] = "^[^!]"
    return {"type": "array", "maxItems": MAX_PATTERNS, "items": items}


def render() -> str:
    """Return the text of the published copy."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")
