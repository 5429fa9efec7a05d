"""Where npm put what GitHub publishes: in the folder that ASSAY_TEST_NPM names, or in its `node_modules`."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

NAMED = os.environ.get("ASSAY_TEST_NPM", "")  # read before the tests take ASSAY_* out of the environment
OPENAPI, EXAMPLES = "@octokit/openapi", "@octokit/webhooks-examples"


def package(name: str) -> Path:
    """The folder of a package. Raises AssertionError where it is missing: what cannot be checked has not passed."""
    assert NAMED, f"ASSAY_TEST_NPM names no folder in which npm installed {name}: run `make test-contract`"
    for folder in (Path(NAMED) / "node_modules" / name, Path(NAMED) / name):
        if folder.is_dir():
            return folder
    raise AssertionError(f"{name} is not installed in {NAMED}: run `make test-contract`")


@functools.cache
def full_description(name: str) -> dict[str, Any]:
    path = package(OPENAPI) / "generated" / f"{name}.json"
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return description


@functools.cache
def example_deliveries() -> tuple[tuple[str, str, dict[str, Any]], ...]:
    """(folder, event, payload) of every example, of github.com and of each GHES."""
    found = []
    for index in sorted(package(EXAMPLES).glob("*/index.json")):
        for event in json.loads(index.read_text(encoding="utf-8")):
            found += [(index.parent.name, event["name"], payload) for payload in event["examples"]]
    return tuple(found)
