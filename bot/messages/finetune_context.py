"""What the words of `assay/finetune` depend on beside the run itself: plain values of one installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.records import StoredScreening

NextStep = Literal[
    "",  # nothing follows
    "coming",  # trained once more, under way
    "ranks",  # that is done: it ranks
    "failed",  # that came to no end
    "unseen",  # a public repository, whose ranking nobody is shown
    "off",  # no budget any more, or switched off
    "overruled",  # a newer result decides what ranks
]


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    """What an outcome did to the threshold of its installation."""

    before: float
    after: float
    flipped: int  # repositories of this installation whose verdict it turned
    judged: int  # that have one


@dataclass(frozen=True)
class Shown:
    full_name: str
    head_sha: str  # the commit it is posted on
    external_id: str
    predicted: StoredScreening | None = None  # what was said before the run
    change: ThresholdChange | None = None
    not_counted: str = ""  # why it changes nothing, in words after "because"
    next_step: NextStep = ""
    why_not: str = ""  # why training once more failed
    hears_comments: bool = True

    @property
    def try_again(self) -> str:
        """How a person asks for a run."""
        return "Comment `/finetune` on an issue" if self.hears_comments else "Press **Fine-tune** on `assay/screen`"
