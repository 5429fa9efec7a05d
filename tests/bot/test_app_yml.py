"""`app.yml` shows the dispatch table to people: `python -m tests.bot.test_app_yml` rewrites it.

The App is registered from the table itself (`bot.setup.manifest`), so nothing reads the YAML at run time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.receiver.dispatch import SUBSETS, TABLE, events_of, permissions_of
from bot.records import Subset
from bot.setup.manifest import LIMITATIONS, PURPOSES, Registration, manifest

APP_YML = Path(__file__).parents[2] / "app.yml"
ADDRESS = "https://assay.example.com"

HEADER = """\
# The GitHub App as the setup page registers it (run `assay up` or `assay setup` and open the address it prints).
# Generated from the dispatch table in bot/receiver/dispatch.py by `python -m tests.bot.test_app_yml`; a test keeps them
# in sync. To register the App by hand, replace https://assay.example.com by your server's address.
"""


def render() -> str:
    """Render the manifest of the smallest subset, followed by the other subsets' changes as comments."""
    return HEADER + "\n" + "\n".join((*_whole(SUBSETS[0]), *_others())) + "\n"


def _whole(subset: Subset) -> Iterator[str]:
    for key, value in manifest(Registration("Assay", subset), ADDRESS).items():
        if key == "default_events":
            yield from _events(subset)
        elif key == "default_permissions":
            yield from _permissions(subset)
        elif isinstance(value, dict):
            yield f"{key}:"
            yield from (f"  {name}: {json.dumps(each)}" for name, each in value.items())
        else:
            yield f"{key}: {json.dumps(value)}"


def _others() -> Iterator[str]:
    for subset in SUBSETS[1:]:
        yield ""
        yield f"# The {subset} subset replaces the two lists above by:"
        yield from (f"# {line}" for line in (*_events(subset), *_permissions(subset)))


def _events(subset: Subset) -> Iterator[str]:
    yield "default_events:"
    for event in events_of(subset):
        actions = ", ".join(row.action for row in TABLE if row.event == event and row.action)
        yield f"  - {event}" + (f"  # {actions}" if actions else "")


def _permissions(subset: Subset) -> Iterator[str]:
    yield f"# {subset}: {PURPOSES[subset]}"
    yield from (f"#   - {limitation}" for limitation in LIMITATIONS[subset])
    yield "default_permissions:"
    yield from (f"  {each.name}: {each.access}  # {each.purpose}" for each in permissions_of(subset))


def test_app_yml_matches_the_dispatch_table() -> None:
    assert APP_YML.read_text(encoding="utf-8") == render(), "regenerate it: python -m tests.bot.test_app_yml"


@pytest.mark.parametrize("subset", SUBSETS)
def test_app_yml_contains_every_event_and_permission(subset: Subset) -> None:
    text = APP_YML.read_text(encoding="utf-8")
    for permission in permissions_of(subset):
        assert f"{permission.name}: {permission.access}  # {permission.purpose}" in text
    for event in events_of(subset):
        assert f"  - {event}\n" in text or f"  - {event}  # " in text
    for sentence in (PURPOSES[subset], *LIMITATIONS[subset]):
        assert sentence in text


def test_only_the_smallest_subset_is_active() -> None:
    lines = [line for line in APP_YML.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    in_force = "\n".join(lines)
    assert "issues" not in in_force
    assert "pull_requests" not in in_force
    assert "public: false" in in_force


if __name__ == "__main__":
    APP_YML.write_text(render(), encoding="utf-8")
