"""What is known here without torch is what those go by who train."""

from __future__ import annotations

import pytest

from bot.jobs import estimate, queueing
from pipeline.finetuning import finetune, seed_job

pytestmark = pytest.mark.finetune


def test_what_is_refused_here_is_what_would_be_refused_there() -> None:
    here = queueing.FEWEST_TRAINED_ON, queueing.FEWEST_POSITIVES
    assert here == (finetune.FEWEST_TRAINED_ON, finetune.FEWEST_POSITIVES)


def test_as_many_functions_are_counted_on_here_as_are_validated_there() -> None:
    assert estimate.MOST_VALIDATED == seed_job.MOST_VALIDATED
