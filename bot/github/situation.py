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
