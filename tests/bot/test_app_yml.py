"""`app.yml` says for people what the dispatch table says for the program: `python -m tests.bot.test_app_yml` writes it.

The App is registered from the table itself (`bot.setup.manifest`), so nothing reads YAML at run time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.receiver.dispatch import SUBSETS, TABLE, events_of, permissions_of
from bot.records import Subset
from bot.setup.manifest import LACKS, PURPOSES, Registration, manifest

APP_YML = Path(__file__).parents[2] / "app.yml"
ADDRESS = "https://assay.example.com"

HEADER = """\
# The GitHub App that the setup page registers (`assay up` or `assay setup`, then the address that it prints).
# Written from the dispatch table in bot/receiver/dispatch.py by `python -m tests.bot.test_app_yml`; a test holds them
# equal. To register the App by hand, put your server's address in place of https://assay.example.com.
"""


def render() -> str:
    """The manifest of the smallest subset, and below it what the others change, as comments."""
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
        yield f"# The subset {subset} has these in place of the two above:"
        yield from (f"# {line}" for line in (*_events(subset), *_permissions(subset)))


def _events(subset: Subset) -> Iterator[str]:
    yield "default_events:"
    for event in events_of(subset):
        actions = ", ".join(row.action for row in TABLE if row.event == event and row.action)
        yield f"  - {event}" + (f"  # {actions}" if actions else "")


def _permissions(subset: Subset) -> Iterator[str]:
    yield f"# {subset}: {PURPOSES[subset]}"
    yield from (f"#   - {lacking}" for lacking in LACKS[subset])
    yield "default_permissions:"
    yield from (f"  {each.name}: {each.access}  # {each.why}" for each in permissions_of(subset))


def test_app_yml_says_what_the_dispatch_table_says() -> None:
    assert APP_YML.read_text(encoding="utf-8") == render(), "write it again: python -m tests.bot.test_app_yml"


@pytest.mark.parametrize("subset", SUBSETS)
def test_every_event_and_permission_of_every_subset_is_in_it(subset: Subset) -> None:
    text = APP_YML.read_text(encoding="utf-8")
    for permission in permissions_of(subset):
        assert f"{permission.name}: {permission.access}  # {permission.why}" in text
    for event in events_of(subset):
        assert f"  - {event}\n" in text or f"  - {event}  # " in text
    for sentence in (PURPOSES[subset], *LACKS[subset]):
        assert sentence in text


def test_only_the_smallest_subset_is_in_force() -> None:
    lines = [line for line in APP_YML.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    in_force = "\n".join(lines)
    assert "issues" not in in_force
    assert "pull_requests" not in in_force
    assert "public: false" in in_force


if __name__ == "__main__":
    APP_YML.write_text(render(), encoding="utf-8")
