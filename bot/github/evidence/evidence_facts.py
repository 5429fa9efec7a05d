"""The known facts about a repository's issues and pull requests, and how complete they are.

Renaming a label does not update the issues that carry it, so they keep the old name here until they change themselves.
A deleted or transferred issue stays as it was last seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bot.github.evidence.queries import Kind
from bot.github.evidence.walks import UNREAD, WalkState
from pipeline.mining.issue_links import IssueFact, Tracker

Permission = Literal["contents", "issues", "pull_requests"]  # read access, named as in an App's settings


@dataclass(frozen=True, slots=True)
class FetchState:
    """How far the two lists have been read. `fetched_at`: seconds since 1970, 0 before the first page."""

    repository_id: int = 0
    issues: WalkState = UNREAD
    pull_requests: WalkState = UNREAD
    lacks: tuple[Permission, ...] = ()  # permissions that the last fetch, or the one it resumes, was denied
    fetched_at: int = 0

    def walk(self, kind: Kind) -> WalkState:
        return self.issues if kind == "issues" else self.pull_requests


@dataclass(frozen=True, slots=True)
class EvidenceFacts:
    """Facts by number."""

    facts: Mapping[int, IssueFact] = field(default_factory=dict)
    state: FetchState = FetchState()

    @property
    def is_complete(self) -> bool:
        """Whether each list has been read to its end at least once, or must not be read at all."""
        state = self.state
        denied = {"issues": "issues" in state.lacks, "pull_requests": "pull_requests" in state.lacks}
        kinds: tuple[Kind, ...] = ("issues", "pull_requests")
        return all(denied[kind] or state.walk(kind).until is not None for kind in kinds)


class FactStore(Protocol):
    """Storage for facts between fetches. Facts are stored by the time a call returns."""

    def load(self) -> EvidenceFacts | None:
        """Load the stored facts; None if none can be read."""

    def add(self, facts: Iterable[IssueFact], state: FetchState) -> None:
        """Append one page and the state after it."""

    def clear(self) -> None:
        """Delete all facts: they belong to another repository."""

    def compact(self, facts: EvidenceFacts) -> None:
        """Merge the pages at the end of a fetch; `facts` are all of them."""


def tracker_of(facts: EvidenceFacts, evidence_as_of: int, bug_labels: tuple[str, ...] | None = None) -> Tracker:
    """Return the tracker for one screening: everything opened by `evidence_as_of` (seconds since 1970)."""
    known = {number: fact for number, fact in facts.facts.items() if fact.opened_at <= evidence_as_of}
    return Tracker(known, evidence_as_of, bug_labels)
