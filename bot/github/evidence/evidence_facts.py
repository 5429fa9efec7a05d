"""What is known of a repository's issues and pull requests, and how far that goes.

A label that is renamed does not change the issues that carry it for GitHub, so they keep the old name here until they
change themselves. An issue that is deleted or transferred stays as it was last seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bot.github.evidence.queries import Kind
from bot.github.evidence.walks import UNREAD, Reach
from pipeline.mining.issue_links import IssueFact, Tracker

Permission = Literal["contents", "issues", "pull_requests"]  # each of them "read", in the words of an App's settings


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the facts go. `fetched_at`: seconds since 1970, 0 before the first page."""

    repository_id: int = 0
    issues: Reach = UNREAD
    pull_requests: Reach = UNREAD
    lacks: tuple[Permission, ...] = ()  # what the last fetch was refused, or one that it goes on with
    fetched_at: int = 0

    def reach(self, kind: Kind) -> Reach:
        return self.issues if kind == "issues" else self.pull_requests


@dataclass(frozen=True, slots=True)
class EvidenceFacts:
    """Facts by number."""

    facts: Mapping[int, IssueFact] = field(default_factory=dict)
    standing: Standing = Standing()

    @property
    def is_complete(self) -> bool:
        """Whether both lists have been read to their ends at least once, or may not be read at all."""
        standing = self.standing
        refused = {"issues": "issues" in standing.lacks, "pull_requests": "pull_requests" in standing.lacks}
        kinds: tuple[Kind, ...] = ("issues", "pull_requests")
        return all(refused[kind] or standing.reach(kind).until is not None for kind in kinds)


class FactStoreProtocol(Protocol):
    """Where facts are kept between fetches. Each call has kept what it was given when it returns."""

    def load(self) -> EvidenceFacts | None:
        """None where there is nothing that can be read."""

    def add(self, facts: Iterable[IssueFact], standing: Standing) -> None:
        """One page more, and how far that goes."""

    def clear(self) -> None:
        """What is kept is about another repository."""

    def settle(self, facts: EvidenceFacts) -> None:
        """All of it once more: the walks have come to their ends, and the pages may be put together."""


def tracker_of(facts: EvidenceFacts, evidence_as_of: int, bug_labels: tuple[str, ...] | None = None) -> Tracker:
    """The tracker for one screening: what was opened by `evidence_as_of` (seconds since 1970), as it is known now."""
    known = {number: fact for number, fact in facts.facts.items() if fact.opened_at <= evidence_as_of}
    return Tracker(known, evidence_as_of, bug_labels)
