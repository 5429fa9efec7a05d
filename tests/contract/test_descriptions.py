"""The committed cuts against GitHub's whole descriptions."""

from __future__ import annotations

import pytest

from tests.contract.published import full_description
from tests.simulator.cut_descriptions import FOLDER, NAMES, OPERATIONS, cut, render
from tests.simulator.description import corrected, load_description
from tests.simulator.routes import ROUTES

pytestmark = [pytest.mark.contract, pytest.mark.parametrize("name", NAMES)]


def test_the_committed_cut_is_what_the_script_makes(name):
    made = render(cut(full_description(name)))
    committed = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert made == committed, "run: python -m tests.simulator.cut_descriptions FOLDER/@octokit/openapi/generated"


def test_every_operation_that_we_rely_on_is_described(name):
    paths = full_description(name)["paths"]
    for operation in ROUTES:
        method, path = operation.split(" ")
        assert method.lower() in paths.get(path, {}), operation
    assert set(ROUTES) == set(OPERATIONS)


def test_every_success_has_a_schema(name):
    """So that nothing the simulator says goes unchecked."""
    facts = cut(full_description(name))
    for operation, described in facts["operations"].items():
        successes = [schema for status, schema in described["responses"].items() if status.startswith("2")]
        assert successes, operation
        assert None not in successes, operation


def test_every_schema_that_is_named_is_there(name):
    facts = cut(full_description(name))
    assert {"check-run", "full-repository", "installation", "installation-token"} <= set(facts["schemas"])
    text = render(facts)
    for reference in {part.partition('"')[0] for part in text.split("#/schemas/")[1:]}:
        assert reference in facts["schemas"]


def test_no_prose_is_left(name):
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert "docs.github.com" not in text
    assert max(len(string) for string in text.split('"')) < 80


def test_what_we_correct_is_still_wrong(name):
    """When GitHub mends its description, the correction has to go."""
    facts = cut(full_description(name))
    operation = "GET /app/installations"
    assert "allOf" in facts["operations"][operation]["responses"]["200"]["items"]["properties"]["account"]
    assert "stale" not in facts["schemas"]["check-run"]["properties"]["conclusion"]["enum"]
    assert corrected(facts) != facts


def test_it_can_be_used_in_full(name):
    description = load_description(name)
    assert set(description.operations) == set(OPERATIONS)
