"""Payloads with private text next to the fields we read, so that tests can check that it never gets through."""

from __future__ import annotations

import json
from typing import Any

INSTALLATION, REPOSITORY, SENDER = 4_001, 7_001, 9_001
HEAD = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
PRIVATE_WORDS = ("octocat", "mona@example.com", "Fix the secret thing", "acme", "shop", "Hello body", "A title")

SOMEBODY = {"login": "octocat", "id": SENDER, "type": "User", "email": "mona@example.com"}
SURROUNDINGS: dict[str, Any] = {
    "installation": {"id": INSTALLATION, "node_id": "MDIz"},
    "repository": {
        "id": REPOSITORY,
        "name": "shop",
        "full_name": "acme/shop",
        "default_branch": "main",
        "owner": {"login": "acme", "id": 1, "email": "mona@example.com"},
        "description": "A title",
    },
    "sender": SOMEBODY,
    "organization": {"login": "acme", "id": 1},
}


def payload(**fields: Any) -> dict[str, Any]:
    """Return the common fields updated with `fields`; None removes one."""
    return {name: value for name, value in (SURROUNDINGS | fields).items() if value is not None}


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def push(**fields: Any) -> dict[str, Any]:
    commit = {"id": HEAD, "message": "Fix the secret thing", "author": {"name": "octocat", "email": "mona@example.com"}}
    pushed = {"ref": "refs/heads/main", "after": HEAD, "before": "0" * 40, "forced": False, "deleted": False}
    return payload(**{**pushed, "commits": [commit], "head_commit": commit, "pusher": SOMEBODY, **fields})


def comment(body: Any, **fields: Any) -> dict[str, Any]:
    issue = {"id": 5, "number": 12, "title": "A title", "body": "Hello body", "user": SOMEBODY}
    made = {"id": 333, "body": body, "user": SOMEBODY}
    return payload(**{"action": "created", "issue": issue, "comment": made, **fields})


def check_run(action: str, **fields: Any) -> dict[str, Any]:
    run = {
        "id": 55,
        "name": "assay/screen",
        "external_id": "assay/screen/17",
        "head_sha": HEAD,
        "output": {"title": "A title", "summary": "Hello body"},
    }
    return payload(action=action, check_run={**run, **fields.pop("run", {})}, **fields)
