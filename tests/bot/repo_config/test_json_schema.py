"""The schema for editors agrees with the parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from bot.repo_config.json_schema import json_schema, render
from bot.repo_config.parse import parse_config

PUBLISHED = Path(__file__).parents[3] / "docs" / "assay.schema.json"


def test_the_published_copy_is_up_to_date() -> None:
    to_do = "run python -m bot.repo_config.json_schema > docs/assay.schema.json"
    assert PUBLISHED.read_text(encoding="utf-8") == render(), to_do


def test_it_is_a_valid_schema() -> None:
    Draft7Validator.check_schema(json_schema())


def test_an_editor_and_the_parser_agree(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"quiet": True, "exclude": ["a", "b/"], "permission": "admin"}, True),
        ({"finetune": {"enabled": False, "base_model": "a/b", "max_minutes": 90}}, True),
        ({"bug_labels": []}, True),
        ({"bug_label": ["a"]}, False),
        ({"bug_labels": "a"}, False),
        ({"bug_labels": [1]}, False),
        ({"bug_labels": [""]}, False),
        ({"exclude": ["!a"]}, False),
        ({"exclude": ["a"] * 51}, False),
        ({"permission": "owner"}, False),
        ({"finetune": {"max_minutes": 0}}, False),
        ({"finetune": {"max_minutes": 10_081}}, False),
        ({"finetune": {"base_model": "../x"}}, False),
        ({"finetune": {"enable": True}}, False),
        ({"quiet": "yes"}, False),
    ]
    for config, is_valid in cases:
        with subtests.test(config=config, is_valid=is_valid):
            parsed = parse_config(json.dumps(config).encode())  # JSON is YAML
            assert (parsed.problems == ()) is is_valid
            assert Draft7Validator(json_schema()).is_valid(config) is is_valid
