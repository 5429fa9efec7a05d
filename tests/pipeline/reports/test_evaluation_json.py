from __future__ import annotations

import json

from pipeline.reports.evaluation_json import evaluation_json
from tests.builders import evaluations as build
from tests.builders import screenings


def test_the_numbers_are_those_of_the_evaluation() -> None:
    made = evaluation_json(build.evaluation(), "142be1735dd3")
    assert (made["conclusive"], made["reasons"], made["learned_from"]) == (True, [], 321)
    assert (made["eval_start"], made["label_recipe_id"]) == ("2022-11-14T22:13:20Z", "142be1735dd3")
    functions = made["functions"]
    assert (functions["n"], functions["positives"], functions["prevalence"]) == (240, 48, 0.2)
    baseline, size, nothing = functions["scorers"]
    assert baseline["against_baseline"] is None
    assert size["against_baseline"]["delta"] == size["rho"] - baseline["rho"]
    assert (nothing["rho"], nothing["reason"]) == (None, "all 240 scores are equal: no ranking")
    assert made["files"]["n"] == 4


def test_any_repository_name_survives_strict_json() -> None:
    mined = screenings.mined(repo='\udcff"\x00\u202e</script>', notes=("\ud800",))
    made = evaluation_json(build.evaluation(mined=mined), "")
    assert json.loads(json.dumps(made, allow_nan=False, ensure_ascii=False).encode("utf-8")) == made
    assert (made["repo"], made["notes"]) == ('\\udcff"\x00\u202e</script>', ["\\ud800"])
