"""Where and how a verdict is posted: what the words of a check run depend on beside the screening itself."""

from __future__ import annotations

from dataclasses import dataclass

from bot.records import Repository


@dataclass(frozen=True)
class Situation:
    repository: Repository
    head_sha: str  # the commit it is posted on, which may be newer than the one that was measured
    external_id: str
    fine_tuning_on: bool = False  # whether this server can fine-tune
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
