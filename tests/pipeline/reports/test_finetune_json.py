from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipeline.finetuning.result import Costs, RefitResult, Work
from pipeline.json_fields import MalformedError
from pipeline.reports.curves import render_files
from pipeline.reports.finetune_json import (
    finetune_json,
    load_refit,
    load_winning_run,
    refit_json,
    render_refit_files,
    winning_run_json,
)
from tests.builders import finetunings as build
from tests.pipeline.finetuning.ranking_sets import refit_record
from tests.pipeline.reports.doc_tables import table

DOCUMENTED = (
    "outcome", "rho_adapter", "rho_baseline", "delta", "delta_low", "delta_high", "n", "positives", "scorers",
    "recipe_id", "gpu_seconds", "tokens_per_second",
)  # fmt: skip


def read(result: Any) -> dict[str, Any]:
    values = json.loads(json.dumps(finetune_json(result), allow_nan=False))
    assert isinstance(values, dict)
    return values


def test_the_documented_fields_are_present_and_agree_with_the_table() -> None:
    values = read(build.result())
    assert set(DOCUMENTED) <= values.keys()
    adapter, baseline = values["scorers"]["adapter"], values["scorers"]["baseline"]
    assert (values["rho_adapter"], values["rho_baseline"]) == (adapter["rho"], baseline["rho"])
    assert values["delta"] == adapter["against_baseline"]["delta"] == pytest.approx(adapter["rho"] - baseline["rho"])
    assert values["delta_low"] < values["delta"] < values["delta_high"]
    assert (values["outcome"], values["counts"], values["n"], values["positives"]) == ("WIN", True, 300, 60)
    assert baseline["against_baseline"] is None


def test_speed_counts_real_tokens_and_padding_is_separate() -> None:
    values = read(build.result(costs=Costs(Work(seconds=10.0, tokens=9_000, padding=1_000), device_seconds=12.0)))
    assert (values["tokens_per_second"], values["padding_share"], values["gpu_seconds"]) == (900.0, 0.1, 12.0)
    assert values["estimate"] == {"tokens": None, "flops": None, "minutes": None}


def test_a_job_cut_short_lists_its_seeds() -> None:
    values = read(build.result(seeds=3, completed=1))
    assert (values["seeds_planned"], values["seeds_completed"], values["ended"]) == ([1, 2, 3], [1], "time limit")


def test_a_control_never_counts() -> None:
    values = read(build.result(control="shuffled labels"))
    assert (values["outcome"], values["control"], values["counts"]) == ("INCONCLUSIVE", "shuffled labels", False)


def test_the_curves_of_every_seed_are_included() -> None:
    curves = read(build.result())["curves"]
    assert list(curves) == ["1", "2"]
    assert curves["2"]["validation_rhos"] == [[2, 0.2], [4, 0.15], [6, 0.4], [8, 0.3]]
    assert (curves["1"]["chosen_steps"], curves["1"]["planned_steps"], len(curves["1"]["refit_losses"])) == (6, 8, 6)


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="flops is not a finite number"):
        finetune_json(build.result(costs=Costs(flops=float("nan"))))


@pytest.mark.finetune
def test_the_file_holds_what_the_command_prints() -> None:
    result = build.result()
    files = render_files(result)
    assert json.loads(files["result.json"]) == finetune_json(result)
    assert files["curves.png"].startswith(b"\x89PNG")


def test_the_page_documents_every_field() -> None:
    documented = [name for name, _, _ in table("reference/json.md", "## `assay finetune`")]
    assert documented == [*read(build.result()), "out"]


# -- refits


def test_a_refit_and_its_winning_run_round_trip() -> None:
    record = refit_record(ended="time limit")
    assert load_refit(json.loads(json.dumps(refit_json(record)))) == record
    assert load_winning_run(json.loads(json.dumps(winning_run_json(record.judged)))) == record.judged


def test_a_refit_lists_ranker_window_files_and_cost() -> None:
    values = refit_json(refit_record())
    assert (values["judged"]["scorer"], values["judged"]["run_id"]) == ("adapter", "run-17")
    assert (values["train_start"], values["as_of"], values["seconds"]) == (1_631_536_000, 1_694_608_000, 12.5)
    assert values["adapters"][1] == {"seed": 2, "files": {"adapter.safetensors": "2" * 64}}


def test_the_result_file_of_a_refit_holds_the_record() -> None:
    files = render_refit_files(RefitResult(refit_record(), np.zeros(1)))
    assert list(files) == ["result.json"]
    assert json.loads(files["result.json"]) == refit_json(refit_record())


def test_a_refit_with_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        refit_json(refit_record(seconds=float("nan")))


def test_unknown_fields_are_ignored() -> None:
    assert load_refit({**refit_json(refit_record()), "later": 1}) == refit_record()


def changed(**fields: Any) -> dict[str, Any]:
    return {**refit_json(refit_record()), **fields}


def test_an_invalid_record_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[object] = [
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
    ]
    for value in cases:
        with subtests.test(value=value), pytest.raises(MalformedError, match=r"^run 17"):
            load_refit(value, "run 17")


def test_a_repository_name_that_is_not_utf_8_can_be_stored() -> None:
    assert refit_json(refit_record(repo="shop\udcff"))["repo"] == "shop\\udcff"
