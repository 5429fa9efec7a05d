from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.finetuning.result import Costs, Work
from pipeline.reports.curves import render_files
from pipeline.reports.finetune_json import finetune_json
from tests.builders import finetunings as build
from tests.pipeline.reports.doc_tables import table

PROMISED = (
    "outcome", "rho_adapter", "rho_baseline", "delta", "delta_low", "delta_high", "n", "positives", "scorers",
    "recipe_id", "gpu_seconds", "tokens_per_second",
)  # fmt: skip


def read(result: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(finetune_json(result), allow_nan=False))
    assert isinstance(found, dict)
    return found


def test_the_promised_fields_are_there_and_agree_with_the_table() -> None:
    found = read(build.result())
    assert set(PROMISED) <= found.keys()
    adapter, baseline = found["scorers"]["adapter"], found["scorers"]["baseline"]
    assert (found["rho_adapter"], found["rho_baseline"]) == (adapter["rho"], baseline["rho"])
    assert found["delta"] == adapter["against_baseline"]["delta"] == pytest.approx(adapter["rho"] - baseline["rho"])
    assert found["delta_low"] < found["delta"] < found["delta_high"]
    assert (found["outcome"], found["counts"], found["n"], found["positives"]) == ("WIN", True, 300, 60)
    assert baseline["against_baseline"] is None


def test_speed_is_of_real_tokens_and_padding_stands_beside() -> None:
    found = read(build.result(costs=Costs(Work(seconds=10.0, tokens=9_000, padding=1_000), device_seconds=12.0)))
    assert (found["tokens_per_second"], found["padding_share"], found["gpu_seconds"]) == (900.0, 0.1, 12.0)
    assert found["estimate"] == {"tokens": None, "flops": None, "minutes": None}


def test_a_job_that_was_cut_short_says_which_seeds_it_has() -> None:
    found = read(build.result(seeds=3, completed=1))
    assert (found["seeds_planned"], found["seeds_completed"], found["ended"]) == ([1, 2, 3], [1], "time limit")


def test_a_control_never_counts() -> None:
    found = read(build.result(control="shuffled labels"))
    assert (found["outcome"], found["control"], found["counts"]) == ("INCONCLUSIVE", "shuffled labels", False)


def test_the_curves_of_every_seed_are_there() -> None:
    curves = read(build.result())["curves"]
    assert list(curves) == ["1", "2"]
    assert curves["2"]["validation_rhos"] == [[2, 0.2], [4, 0.15], [6, 0.4], [8, 0.3]]
    assert (curves["1"]["chosen_steps"], curves["1"]["planned_steps"], len(curves["1"]["refit_losses"])) == (6, 8, 6)


def test_a_number_that_is_none_is_refused() -> None:
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
