"""Limits that the App knows without torch equal those of training."""

from __future__ import annotations

import pytest

from bot.handlers.finetuning import prepare_budget
from bot.runs import estimate
from pipeline.finetuning.training import finetune, seed

pytestmark = pytest.mark.finetune


def test_the_app_refuses_what_training_would_refuse() -> None:
    here = prepare_budget.MIN_TRAINING_FUNCTIONS, prepare_budget.MIN_POSITIVES
    assert here == (finetune.FEWEST_TRAINED_ON, finetune.FEWEST_POSITIVES)


def test_the_estimate_counts_as_many_validated_functions_as_training() -> None:
    assert estimate.MAX_VALIDATED == seed.MOST_VALIDATED
