"""Our own fine-tuning results, from the JSON of a run to a row and back."""

from __future__ import annotations

import pytest

from pipeline.calibration.reproduced import load_reproduced, parse_reproduced, render_reproduced, reproduced_of
from pipeline.records import AssayError

RUN = {
    "head_sha": "a" * 40,
    "base_model_family": "tiny",
    "recipe": {"max_tokens": 256},
    "seeds_completed": [1, 2],
    "recipe_id": "0123456789ab",
    "outcome": "SOFT LOSS",
    "rho_adapter": 0.21,
    "rho_baseline": 0.2,
    "delta": 0.01,
    "delta_low": -0.02,
    "delta_high": 0.04,
    "n": 640,
    "positives": 88,
    "best_cheap": "past fixes",
    "scorers": {"past fixes": {"rho": 0.25}, "frozen embeddings + ridge": {"rho": 0.19}},
}


def test_a_run_becomes_a_row():
    row = reproduced_of("owner/name", RUN, {"rho_adapter": 0.01})
    assert (row.name, row.base_model, row.seeds, row.max_tokens) == ("owner/name", "tiny", 2, 256)
    assert (row.rho_frozen, row.rho_best_cheap, row.rho_shuffled) == (0.19, 0.25, 0.01)


def test_a_run_without_control_or_competitors_has_none_of_their_figures():
    row = reproduced_of("owner/name", {**RUN, "best_cheap": None, "scorers": {}}, None)
    assert (row.rho_frozen, row.rho_best_cheap, row.rho_shuffled) == (None, None, None)


def test_rows_survive_a_round_trip():
    row = reproduced_of("owner/name", RUN, None)
    assert parse_reproduced(render_reproduced([row])) == {"owner/name": row}


def test_a_damaged_file_is_an_error(subtests: pytest.Subtests):
    for text in ("", "{", "[1]", '[{"name": "a"}]', '[{"other": 1}]'):
        with subtests.test(text=text), pytest.raises(AssayError, match="reproduce-table"):
            parse_reproduced(text)


def test_the_shipped_file_can_be_read():
    assert all(row.n > 0 for row in load_reproduced().values())
