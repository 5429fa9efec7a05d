"""Where and how a verdict is posted: what the words of a check run depend on beside the screening itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.records import Repository
from pipeline.reports.finetune_figures import Measured

OffBecause = Literal["server", "budget", "configuration"]
AdapterState = Literal[
    "ranks",  # what is shown is its ranking, or would be
    "coming",  # a run that ranks this commit is on its way
    "waits",  # it ranks a newer commit at most once a day, and within the budget
    "failed",  # the run that should have ranked did not come to an end
]


@dataclass(frozen=True)
class WonAdapter:
    """The adapter that is to rank a repository: its run won, and no newer run says otherwise."""

    run_id: int
    scorer: Literal["adapter", "blend"]
    judged_at: datetime
    delta: Measured  # of ρ, when it was judged
    state: AdapterState
    reason: str = ""  # why it failed


@dataclass(frozen=True)
class ScreenContext:
    repository: Repository
    head_sha: str  # the commit it is posted on, which may be newer than the one that was measured
    external_id: str
    fine_tuning_on: bool = False  # whether this repository can be fine-tuned here
    off_because: OffBecause = "server"  # where it cannot
    hears_comments: bool = True  # whether the installation lets us read and answer them
    adapter: WonAdapter | None = None
    config_note: str = ""  # what was wrong with the repository's own configuration, a line each
    publish_ranking: bool = False  # on public repositories too
    web_url: str = "https://github.com"  # where the repository is seen

    @property
    def shows_ranking(self) -> bool:
        return shows_ranking(self.repository, self.publish_ranking)


def shows_ranking(repository: Repository, publish_ranking: bool) -> bool:
    """Whether a check run says where to look first: whoever may read the repository sees it, of a public one everybody.

    A list of the weakest places of a public repository is made only where somebody wants it.
    """
    return repository.private or publish_ranking
