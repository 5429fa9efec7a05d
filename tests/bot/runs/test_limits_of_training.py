"""What is known here without torch is what those go by who train."""

from __future__ import annotations

import pytest

from bot.handlers.finetuning import prepare_budget
from bot.runs import estimate
from pipeline.finetuning.training import finetune, seed

pytestmark = pytest.mark.finetune


def test_what_is_refused_here_is_what_would_be_refused_there() -> None:
    here = prepare_budget.FEWEST_TRAINED_ON, prepare_budget.FEWEST_POSITIVES
    assert here == (finetune.FEWEST_TRAINED_ON, finetune.FEWEST_POSITIVES)


def test_as_many_functions_are_counted_on_here_as_are_validated_there() -> None:
    assert estimate.MOST_VALIDATED == seed.MOST_VALIDATED
