from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.model_card import CardMetrics, CardScore, Provenance, Refit, render_model_card
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from tests.pipeline.finetuning.test_adapter import METRICS, PROVENANCE, RECIPE

CARD = render_model_card(RECIPE, PROVENANCE, METRICS)
REFIT = Refit("run-17", "2023-09-14T08:00:00Z", "c" * 40, labels_until=1_694_608_000)
REFIT_CARD = render_model_card(RECIPE, dataclasses.replace(PROVENANCE, refit=REFIT), METRICS)


def test_the_card_shows_the_metrics_with_n_and_intervals() -> None:
    assert (
        "Outcome: WIN. Spearman's ρ with the fixes in the horizon, over 400 held-out functions, 60 of them fixed"
        in CARD
    )
    assert (
        "Δρ against the baseline: +0.060 (+0.010 to +0.110). Because of ties among the labels, ρ cannot exceed 0.700."
        in CARD
    )
    assert "| adapter | 0.310 | 0.200 to 0.400 |" in CARD
    assert "| baseline | 0.250 | – |" in CARD


def test_the_card_shows_the_provenance() -> None:
    for line in (
        f"| recipe id | `{RECIPE.recipe_id(PROVENANCE.label_recipe_id)}` |",
        "| label recipe id | `abc123abc123` |",
        "| base model | `Qwen/Qwen2.5-Coder-1.5B` |",
        f"| revision | `{RECIPE.base_model.revision}` |",
        "| seed | 2 of 1, 2 |",
        "| repository | `example/shop` |",
        "| repository id | 4711 |",
        f"| commit | `{'a' * 40}` |",
        f"| pair set | `{'b' * 64}` |",
        "| trained on | 1,234 functions |",
        "| torch | 2.13.0 |",
    ):
        assert line in CARD.split("\n")


def test_the_card_states_intended_use_and_limits() -> None:
    titles = [line for line in CARD.split("\n") if line.startswith("## ")]
    assert titles == ["## Intended use", "## Limits", "## Metrics", "## Recipe", "## Provenance"]
    assert "It is not meant to judge people, to block merges" in CARD


def test_the_header_names_the_base_model() -> None:
    assert CARD.startswith('---\nbase_model: "Qwen/Qwen2.5-Coder-1.5B"\ntags: [assay, lora, defect-ranking]\n---\n')


def test_an_adapter_that_lost_says_so_at_the_top() -> None:
    lost = render_model_card(RECIPE, PROVENANCE, dataclasses.replace(METRICS, outcome="HARD LOSS"))
    assert "**HARD LOSS: this adapter was not shown to rank better than the baseline" in lost
    assert "not shown to rank better" not in CARD
    control = dataclasses.replace(METRICS, outcome="INCONCLUSIVE", control="shuffled labels")
    assert "**Control run (shuffled labels): meant to fail" in render_model_card(RECIPE, PROVENANCE, control)


def test_the_card_of_a_refit_says_that_it_was_not_evaluated_itself() -> None:
    assert (
        "**Retrained on all labels up to 2023-09-13; not evaluated itself.** The metrics are those of run `run-17` "
        f"(2023-09-14T08:00:00Z), which used the same recipe on an earlier window, at commit `{'c' * 40}`."
        in REFIT_CARD
    )
    assert "this directory holds a retrained version of one of them." in REFIT_CARD
    assert f"| ranking set | `{'b' * 64}` |" in REFIT_CARD
    for words in ("trained and evaluated on", "this directory holds one of them", "| pair set |"):
        assert words in CARD
        assert words not in REFIT_CARD
    assert "Retrained" not in CARD


@pytest.mark.parametrize(("seconds", "day"), [(-(10**14), "0001-01-01"), (10**14, "9999-12-31"), (-1, "1969-12-31")])
def test_any_date_can_be_rendered(seconds: int, day: str) -> None:
    provenance = dataclasses.replace(PROVENANCE, refit=dataclasses.replace(REFIT, labels_until=seconds))
    assert f"all labels up to {day};" in render_model_card(RECIPE, provenance, METRICS)


def test_missing_metrics_are_dashes() -> None:
    bare = CardMetrics("INCONCLUSIVE", 3, 0, (CardScore("adapter", None),))
    card = render_model_card(RECIPE, dataclasses.replace(PROVENANCE, repository_id=None), bare)
    assert "| adapter | – | – |" in card
    assert "Δρ against the baseline: –. The adapter" in card
    assert "| repository id | – |" in card


def test_the_location_of_a_local_model_is_not_revealed() -> None:
    recipe = dataclasses.replace(RECIPE, base_model=BaseModel("/home/ada/secret/tiny"))
    card = render_model_card(recipe, PROVENANCE, METRICS)
    assert "secret" not in card
    assert "| base model | `tiny` |" in card
    assert "| revision | a local directory |" in card


def test_no_field_of_a_card_can_hold_code_or_the_name_of_a_function() -> None:
    """Mind when adding a field: a card may be published while the repository is private."""
    assert [f.name for f in dataclasses.fields(Provenance)] == [
        "repo",
        "head_sha",
        "pair_set_id",
        "label_recipe_id",
        "seed",
        "trained_on",
        "repository_id",
        "config_hash",
        "versions",
        "refit",
    ]
    assert [f.name for f in dataclasses.fields(Refit)] == ["judged_by", "judged_at", "judged_head_sha", "labels_until"]
    assert [f.name for f in dataclasses.fields(CardScore)] == ["name", "rho", "low", "high"]
    assert [f.name for f in dataclasses.fields(CardMetrics)] == [
        "outcome",
        "n",
        "positives",
        "scores",
        "delta",
        "delta_low",
        "delta_high",
        "rho_max",
        "control",
    ]


def test_untrusted_text_cannot_change_the_page(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["`|x|`\n# Owned", "<script>alert(1)</script>", "a\x1b[31m\u202eb", "]](http://evil)", "\ud800"]
    for evil in cases:
        with subtests.test(evil=evil):
            refit = Refit(evil, evil, evil, 0)
            provenance = dataclasses.replace(
                PROVENANCE, repo=evil, config_hash=evil, versions={evil: evil}, refit=refit
            )
            metrics = dataclasses.replace(METRICS, scores=(CardScore(evil, 0.1),), control=evil)
            card = render_model_card(RECIPE, provenance, metrics)
            assert len([line for line in card.split("\n") if line.startswith("#")]) == 6
            usual = dataclasses.replace(PROVENANCE, config_hash="x", versions={"x": "x"}, refit=Refit("x", "x", "x", 0))
            same = render_model_card(
                RECIPE, usual, dataclasses.replace(METRICS, scores=(CardScore("x", 0.1),), control="x")
            )
            assert card.count("|") == same.count("|")
            assert card.count("`") == same.count("`")
            assert "\x1b" not in card
            assert card.encode("utf-8")


@given(st.text(), st.text())
def test_any_name_of_a_base_model_is_one_line_of_the_header(name: str, revision: str) -> None:
    recipe = FinetuneRecipe(base_model=BaseModel("x" + name, "c" * 40))
    header = render_model_card(recipe, PROVENANCE, METRICS).split("\n")[:4]
    assert (header[0], header[3]) == ("---", "---")
    assert json.loads(header[1].removeprefix("base_model: ")) == "x" + name
