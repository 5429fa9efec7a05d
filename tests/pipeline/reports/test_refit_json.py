from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.json_fields import MalformedError
from pipeline.reports.finetune_json import (
    load_refit,
    load_winning_run,
    refit_json,
    render_refit_files,
    winning_run_json,
)
from tests.pipeline.finetuning.ranking_sets import refit_record


def test_what_is_read_is_what_was_written() -> None:
    record = refit_record(ended="time limit")
    assert load_refit(json.loads(json.dumps(refit_json(record)))) == record
    assert load_winning_run(json.loads(json.dumps(winning_run_json(record.judged)))) == record.judged


def test_it_says_what_ranks_on_what_window_by_which_files_and_at_what_cost() -> None:
    found = refit_json(refit_record())
    assert (found["judged"]["scorer"], found["judged"]["run_id"]) == ("adapter", "run-17")
    assert (found["train_start"], found["as_of"], found["seconds"]) == (1_631_536_000, 1_694_608_000, 12.5)
    assert found["adapters"][1] == {"seed": 2, "files": {"adapter.safetensors": "2" * 64}}


def test_the_file_beside_the_adapters_holds_the_same() -> None:
    files = render_refit_files(refit_record())
    assert list(files) == ["result.json"]
    assert json.loads(files["result.json"]) == refit_json(refit_record())


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        refit_json(refit_record(seconds=float("nan")))


def test_what_stands_beside_the_fields_is_ignored() -> None:
    assert load_refit({**refit_json(refit_record()), "later": 1}) == refit_record()


def changed(**fields: Any) -> dict[str, Any]:
    return {**refit_json(refit_record()), **fields}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        changed(seconds="1"),
        changed(as_of=1.5),
        changed(judged=None),
        changed(judged={**changed()["judged"], "scorer": "baseline"}),
        changed(judged={**changed()["judged"], "steps": [{"seed": 1, "steps": 6}]}),
        changed(adapters=[{"seed": 1, "files": {"adapter.safetensors": 1}}]),
        changed(recipe={**changed()["recipe"], "epochs": 99}),
    ],
)
def test_what_is_no_record_is_refused(value: object) -> None:
    with pytest.raises(MalformedError, match=r"^run 17"):
        load_refit(value, "run 17")


def test_a_repository_name_that_is_not_utf_8_can_be_stored() -> None:
    assert refit_json(refit_record(repo="shop\udcff"))["repo"] == "shop\\udcff"
