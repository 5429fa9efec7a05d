"""The committed cut of the GraphQL schema against GitHub's whole one, and our queries against that."""

from __future__ import annotations

import json

import pytest
from graphql import build_schema, parse, validate

from bot.github.evidence.queries import ISSUE_TYPE, page_query
from tests.contract.published import package
from tests.simulator.cut_graphql import COMMITTED, render

pytestmark = pytest.mark.contract

SCHEMA = "@octokit/graphql-schema"


def whole_schema() -> str:
    return (package(SCHEMA) / "schema.graphql").read_text(encoding="utf-8")


def test_the_committed_cut_is_what_the_script_makes():
    about = json.loads((package(SCHEMA) / "package.json").read_text(encoding="utf-8"))
    made = render(whole_schema(), about)
    assert made == COMMITTED.read_text(encoding="utf-8"), f"run: python -m tests.simulator.cut_graphql FOLDER/{SCHEMA}"


@pytest.mark.parametrize("kind", ["issues", "pull_requests"])
def test_githubs_whole_schema_takes_our_queries(kind):
    schema = build_schema(whole_schema(), assume_valid=True, assume_valid_sdl=True)  # it keeps not every rule itself
    assert validate(schema, parse(page_query(kind, {ISSUE_TYPE}))) == []
