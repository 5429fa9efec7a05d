"""The context of the text of `assay/finetune`, besides the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.calibration.ledger_records import NotCounted
from bot.records import StoredScreening

NextStep = Literal[
    "",  # nothing follows
    "coming",  # being retrained
    "ranks",  # retrained, and ranks
    "failed",  # retraining failed
    "unseen",  # a public repository whose ranking is not shown
    "off",  # no budget left, or fine-tuning is switched off
    "overruled",  # a newer result decides what ranks
]


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    """The effect of an outcome on its installation's threshold."""

    before: float
    after: float
    flipped: int  # verdicts that the change flipped
    judged: int  # verdicts in this installation


@dataclass(frozen=True)
class FinetuneContext:
    full_name: str
    head_sha: str  # the commit of the check run
    external_id: str
    predicted: StoredScreening | None = None  # the screening before the run
    change: ThresholdChange | None = None
    not_counted: NotCounted | None = None  # why the outcome changes nothing
    next_step: NextStep = ""
    why_not: str = ""  # why retraining failed
    comments_enabled: bool = True

    @property
    def try_again(self) -> str:
        """Return how a person starts a run, as the beginning of a sentence."""
        return "Comment `/finetune` on an issue" if self.comments_enabled else "Press **Fine-tune** on `assay/screen`"
