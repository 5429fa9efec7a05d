"""The JSON Schema of `.github/assay.yml` for editors, made of the table of keys.

`python -m bot.repo_config.json_schema > docs/assay.schema.json` writes the published copy; a test holds the two equal.
Draft-07, because that is what editors' YAML support knows best.
"""

from __future__ import annotations

import json
from typing import Any

from bot.repo_config.keys import (
    DEFAULT_PERMISSION,
    KEYS,
    LONGEST_ITEM_BYTES,
    MODEL_NAME,
    MOST_ITEMS,
    MOST_MINUTES,
    PERMISSIONS,
    SECTIONS,
    Kind,
)


def json_schema() -> dict[str, Any]:
    """The schema as a value that JSON can hold."""
    top: dict[str, Any] = {}
    for key in KEYS:
        section, _, leaf = key.name.rpartition(".")
        into = top.setdefault(section, _mapping({}))["properties"] if section else top
        into[leaf] = {"description": key.about, **_of_kind(key.kind)}
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
        return {"type": "integer", "minimum": 1, "maximum": MOST_MINUTES}
    items: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": LONGEST_ITEM_BYTES}
    if kind == "globs":
        items["pattern"] = "^[^!]"
    return {"type": "array", "maxItems": MOST_ITEMS, "items": items}


def render() -> str:
    """The published copy."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")
