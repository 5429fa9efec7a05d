"""The context of the text of `assay/screen`: where a screening is posted, and which actions are possible there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.records import Repository
from pipeline.reports.finetune_figures import Measured

OffBecause = Literal["server", "budget", "configuration"]
AdapterState = Literal[
    "ranks",  # its ranking of this commit is stored
    "coming",  # a run that ranks this commit is open
    "waits",  # it ranks newer commits at most once a day, and within the budget
    "failed",  # the run that should have ranked this commit failed
]


@dataclass(frozen=True)
class WonAdapter:
    """The adapter that ranks a repository: its run won, and no newer result overrides it."""

    run_id: int
    scorer: Literal["adapter", "blend"]
    judged_at: datetime
    delta: Measured  # Δρ when it was judged
    state: AdapterState
    reason: str = ""  # of a failure


@dataclass(frozen=True)
class ScreenContext:
    repository: Repository
    head_sha: str  # the commit of the check run; may be newer than the measured one
    external_id: str
    fine_tuning_on: bool = False
    off_because: OffBecause = "server"  # if fine-tuning is off
    comments_enabled: bool = True  # the installation lets the App read comments and reply to them
    adapter: WonAdapter | None = None
    config_note: str = ""  # problems of the repository's configuration, one a line
    publish_ranking: bool = False  # even if the repository is public
    web_url: str = "https://github.com"  # for links to the code

    @property
    def shows_ranking(self) -> bool:
        return shows_ranking(self.repository, self.publish_ranking)


def shows_ranking(repository: Repository, publish_ranking: bool) -> bool:
    """Return whether check runs show the ranking.

    Anyone can read the check runs of a public repository, so listing its weakest places is opt-in.
    """
    return repository.private or publish_ranking
