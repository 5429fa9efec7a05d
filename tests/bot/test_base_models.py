"""The operator's list of base models, and what differs from the recipe that ships."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.base_models import (
    ModelNotOffered,
    default_base_model,
    identified,
    parse_base_models,
    parse_recipe_changes,
    recipe_of,
)
from pipeline.finetuning.model_digest import weights_digest
from pipeline.finetuning.recipe import PRESETS, BaseModel, FinetuneRecipe
from pipeline.records import AssayError
from tests.builders.runs import a_run

SMALL, MIDDLE = "Qwen/Qwen2.5-Coder-0.5B", "Qwen/Qwen2.5-Coder-1.5B"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_an_entry_is_a_preset_a_commit_or_a_directory() -> None:
    cases: list[tuple[str, dict[str, BaseModel]]] = [
        ("", {}),
        (" , ", {}),
        (SMALL, {SMALL: PRESETS[SMALL]}),
        (f"{SMALL}, {MIDDLE}", {SMALL: PRESETS[SMALL], MIDDLE: PRESETS[MIDDLE]}),
        (f"acme/tiny@{COMMIT}", {"acme/tiny": BaseModel("acme/tiny", COMMIT)}),
        (f"acme/tiny@{COMMIT.upper()}", {"acme/tiny": BaseModel("acme/tiny", COMMIT)}),
        (f"{SMALL}@{COMMIT}", {SMALL: BaseModel(SMALL, COMMIT)}),
        ("acme/tiny=/models/a=b@c", {"acme/tiny": BaseModel("/models/a=b@c")}),
        ("tiny = /models/tiny", {"tiny": BaseModel("/models/tiny")}),
    ]
    wrong = [(text, got, models) for text, models in cases if (got := dict(parse_base_models(text))) != models]
    assert wrong == []


def test_models_stay_in_the_order_of_the_list() -> None:
    assert list(parse_base_models(f"{MIDDLE},{SMALL}")) == [MIDDLE, SMALL]


def test_an_unpinned_entry_is_refused_by_name(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("acme/unknown", "Assay pins no commit for 'acme/unknown'"),
        ("acme/tiny@main", "40-digit commit hash"),
        (f"acme/tiny@{COMMIT}0", "40-digit commit hash"),
        ("acme/tiny@", "40-digit commit hash"),
        ("acme/tiny=models/tiny", "an absolute path"),
        ("acme/tiny=", "an absolute path"),
        ("../tiny=/models", "must start with a model name"),
        ("/models/tiny", "must start with a model name"),
        (f"=/models,{SMALL}", "must start with a model name"),
        (f"{SMALL},{SMALL}", "twice"),
    ]
    for text, said in cases:
        with subtests.test(text=text, said=said):
            with pytest.raises(AssayError, match=r"^ASSAY_BASE_MODELS: ") as refused:
                parse_base_models(text)
            assert said in str(refused.value)


@given(st.text(alphabet="abAB09/@=.,- _%\n\x00é", max_size=60))
def test_any_list_is_parsed_or_refused(text: str) -> None:
    try:
        models = parse_base_models(text)
    except AssayError:
        return
    assert all(model.revision or model.name.startswith("/") for model in models.values())


@pytest.mark.parametrize(
    ("text", "chosen", "name"),
    [("", "", ""), (f"{MIDDLE},{SMALL}", "", MIDDLE), (f"{MIDDLE},{SMALL}", SMALL, SMALL)],
)
def test_the_default_is_the_operators_choice_or_the_first(text: str, chosen: str, name: str) -> None:
    assert default_base_model(parse_base_models(text), chosen) == name


def test_an_unlisted_default_is_refused() -> None:
    with pytest.raises(AssayError, match="ASSAY_BASE_MODEL"):
        default_base_model(parse_base_models(SMALL), MIDDLE)


def test_recipe_changes_are_parsed() -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("", {}),
        ("{}", {}),
        ('{"epochs": 1, "max_tokens": 128, "seeds": [1]}', {"epochs": 1, "max_tokens": 128, "seeds": (1,)}),
        ('{"memory_limit_gb": null, "compiled": true}', {"memory_limit_gb": None, "compiled": True}),
        ('{"least_positives": 0.6, "most_positives": 0.7}', {"least_positives": 0.6, "most_positives": 0.7}),
    ]
    wrong = [(text, got, changes) for text, changes in cases if (got := dict(parse_recipe_changes(text))) != changes]
    assert wrong == []


def test_an_invalid_change_is_refused_by_name(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        ("[]", "must be one JSON object"),
        ("epochs=1", "must be one JSON object"),
        ('{"epochs": 1, "epochs": 2}', "must be one JSON object"),
        ('{"epoch": 1}', "unknown field 'epoch'"),
        ('{"base_model": "x"}', "set ASSAY_BASE_MODEL"),
        ('{"max_minutes": 5}', "set ASSAY_FINETUNE_MINUTES"),
        ('{"epochs": "1"}', "epochs: expected a whole number, not '1'"),
        ('{"epochs": true}', "epochs: expected a whole number, not True"),
        ('{"epochs": 9}', "epochs = 9: must be between 1 and 3"),
        ('{"seeds": [1, 1]}', "seeds = (1, 1)"),
        ('{"seeds": [1.5]}', "seeds[0]: expected a whole number, not 1.5"),
        ('{"learning_rate": 1e999}', "learning_rate = inf"),
        ('{"learning_rate": NaN}', "must be one JSON object"),
        ('{"batch_size": 1' + "0" * 400 + "}", "int too large"),
    ]
    for text, said in cases:
        with subtests.test(text=text, said=said):
            with pytest.raises(AssayError, match=r"^ASSAY_FINETUNE: ") as refused:
                parse_recipe_changes(text)
            assert said in str(refused.value)


def test_the_recipe_of_a_run_survives_the_database() -> None:
    changes = json.loads(json.dumps(dict(parse_recipe_changes('{"seeds": [4, 5], "epochs": 2}'))))
    recipe = recipe_of(a_run(base_model=SMALL, recipe=changes), parse_base_models(SMALL), 90)
    assert recipe == FinetuneRecipe(base_model=PRESETS[SMALL], seeds=(4, 5), epochs=2, max_minutes=90)


@pytest.mark.parametrize(("said", "minutes"), [({}, 90.0), ({"max_minutes": 30}, 30.0), ({"max_minutes": 400}, 90.0)])
def test_a_run_may_lower_the_operators_time_limit_but_not_raise_it(said: dict[str, Any], minutes: float) -> None:
    run = a_run(base_model=SMALL, recipe=said)
    assert recipe_of(run, parse_base_models(SMALL), 90).max_minutes == minutes


def test_a_model_removed_from_the_list_is_not_trained() -> None:
    with pytest.raises(ModelNotOffered):
        recipe_of(a_run(base_model=MIDDLE), parse_base_models(SMALL), 90)


@pytest.mark.parametrize("recipe", [{"epochs": "2"}, {"unknown": 1}, {"max_minutes": "9"}, {"base_model": "x"}])
def test_an_invalid_recipe_names_its_run(recipe: dict[str, Any]) -> None:
    with pytest.raises(AssayError, match=r"^run 7: "):
        recipe_of(a_run(base_model=SMALL, recipe=recipe), parse_base_models(SMALL), 90)


def test_a_directory_is_identified_by_its_contents(tmp_path: Any) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    found = identified(BaseModel(str(tmp_path)))
    assert found.digest == weights_digest(tmp_path) != ""
    assert identified(found) is found
    assert identified(PRESETS[SMALL]) is PRESETS[SMALL]
    assert dataclasses.replace(found, digest="") == BaseModel(str(tmp_path))
