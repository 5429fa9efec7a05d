"""What the text of `assay/finetune` depends on besides the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    """What an outcome did to the threshold of its installation."""

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
    not_counted: str = ""  # why the outcome changes nothing; continues "because"
    next_step: NextStep = ""
    why_not: str = ""  # why retraining failed
    hears_comments: bool = True

    @property
    def try_again(self) -> str:
        """Return how a person starts a run, as the beginning of a sentence."""
        return "Comment `/finetune` on an issue" if self.hears_comments else "Press **Fine-tune** on `assay/screen`"
