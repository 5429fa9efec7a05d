"""The recipe of a run: refused where it makes no sense, named by what changes a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.finetuning.recipe import DEFAULT_MODEL, PRESETS, BaseModel, FinetuneRecipe, base_model
from pipeline.records import AssayError

LABELS = "0123456789ab"


def test_an_invalid_value_is_refused_by_name(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, Any]] = [
        ("max_tokens", 8),
        ("lora_rank", 0),
        ("lora_dropout", 1.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("epochs", 4),
        ("batch_size", 1),
        ("max_minutes", 0),
        ("memory_limit_gb", 0),
        ("seeds", ()),
        ("seeds", (1, 1)),
        ("seeds", (-1,)),
        ("base_model", BaseModel("some/model", "main")),
    ]
    for field, value in cases:
        with (
            subtests.test(field=field, value=value),
            pytest.raises(AssayError, match="revision" if field == "base_model" else field),
        ):
            FinetuneRecipe(**{field: value})


def test_the_maximal_share_of_positives_cannot_be_below_the_minimal() -> None:
    with pytest.raises(AssayError, match="least_positives"):
        FinetuneRecipe(least_positives=0.5, most_positives=0.4)


def test_the_default_is_the_recipe_of_the_issue() -> None:
    recipe = FinetuneRecipe()
    assert recipe.base_model == DEFAULT_MODEL == PRESETS["Qwen/Qwen2.5-Coder-1.5B"]
    assert (recipe.max_tokens, recipe.lora_rank, recipe.lora_alpha, recipe.lora_dropout) == (1_024, 16, 32, 0.05)
    assert (recipe.learning_rate, recipe.head_learning_rate, recipe.warmup_share) == (2e-4, 1e-3, 0.03)
    assert (recipe.epochs, recipe.batch_size, len(recipe.seeds)) == (3, 32, 3)


def test_every_base_model_is_pinned_by_a_commit() -> None:
    assert all(len(model.revision) == 40 and model.name == name for name, model in PRESETS.items())
    assert base_model("Qwen/Qwen2.5-Coder-0.5B").revision
    assert base_model("some/model", "a" * 40) == BaseModel("some/model", "a" * 40)
    with pytest.raises(AssayError, match="revision"):
        base_model("some/model")


def test_the_id_covers_exactly_what_changes_a_number() -> None:
    recipe = FinetuneRecipe()
    for same in ({"max_minutes": 5.0}, {"micro_batch_tokens": 512}, {"memory_limit_gb": 8.0}, {"compiled": True}):
        assert replace(recipe, **same).recipe_id(LABELS) == recipe.recipe_id(LABELS)
    for other in ({"max_tokens": 512}, {"seeds": (1,)}, {"head": "digits"}, {"shuffled_labels": True}):
        assert replace(recipe, **other).recipe_id(LABELS) != recipe.recipe_id(LABELS)
    assert recipe.recipe_id("ba9876543210") != recipe.recipe_id(LABELS)


def test_a_directory_is_identified_by_its_content_and_not_its_location() -> None:
    def named(*model: str) -> str:
        return FinetuneRecipe(base_model=BaseModel(*model)).recipe_id(LABELS)

    assert named("/here/model", "", "d1") == named("/there/model", "", "d1")
    assert named("/here/model", "", "d1") != named("/here/model", "", "d2")
    assert BaseModel("/here/model/").family == "model"
