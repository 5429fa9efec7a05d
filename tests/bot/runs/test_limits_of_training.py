"""The App refuses what training would refuse, and estimates what training validates."""

from __future__ import annotations

from bot.handlers.finetuning import prepare_budget
from bot.runs import estimate
from pipeline.finetuning import recipe


def test_the_app_refuses_what_training_would_refuse() -> None:
    here = prepare_budget.FEWEST_TRAINED_ON, prepare_budget.FEWEST_POSITIVES
    assert here == (recipe.MIN_TRAINED_ON, recipe.MIN_POSITIVES)


def test_the_estimate_counts_as_many_functions_as_are_validated() -> None:
    assert estimate.MOST_VALIDATED == recipe.MAX_VALIDATED
