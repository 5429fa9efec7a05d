"""Stored configurations: round trip, and damaged rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.repo_config.parse import parse_config
from bot.repo_config.stored import NOTHING_STORED, StoredConfig, dump_config, load_config

FILE = b"""
bug_labels: [bug, "kind/bug"]
fix_patterns: ["^mend"]
exclude: []
permission: admin
finetune:
  enabled: false
  base_model: acme/coder
  max_minutes: 30
quiet: true
publish_ranking: false
nonsense: 1
"""


def test_every_setting_survives_the_round_trip() -> None:
    stored = StoredConfig(parse_config(FILE), "a" * 40, True)
    assert stored.parsed.config.exclude == ()
    assert [problem.key for problem in stored.parsed.problems] == ["nonsense"]
    assert load_config(json.loads(json.dumps(dump_config(stored)))) == stored


def test_a_missing_file_differs_from_one_that_was_never_looked_up() -> None:
    looked = StoredConfig(head_sha="a" * 40)
    assert load_config(dump_config(looked)) == looked
    assert load_config(None) == NOTHING_STORED


@pytest.mark.parametrize("damaged", [{}, {"head_sha": 1}, {"config": {"quiet": "yes"}}, {"problems": [1]}])
def test_a_row_of_another_release_counts_as_never_stored(damaged: dict[str, Any]) -> None:
    assert load_config({**dump_config(StoredConfig()), **damaged} if damaged else {}) == NOTHING_STORED


@given(st.binary(max_size=300))
def test_any_file_survives_the_round_trip(raw: bytes) -> None:
    stored = StoredConfig(parse_config(raw), "b" * 40, True)
    assert load_config(json.loads(json.dumps(dump_config(stored)))) == stored
