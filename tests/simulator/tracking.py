"""Issues and pull requests for GraphQL, and what people do to them.

bug = shop.issue(12, labels=["bug"], opened_at=day(3))
bug.close(at=day(9))
shop.pull_request(13, merged=sha, closes=[bug], opened_at=day(8))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulator.repositories import Repository


@dataclass(eq=False)
class Item:
    """An issue or a pull request. Every action sets `updated_at`, to the given time or to now."""

    repository: Repository
    number: int
    labels: list[str] = field(default_factory=list)
    issue_type: str | None = None
    is_pull_request: bool = False
    merged: str | None = None  # the commit
    closes: list[Item] = field(default_factory=list)
    opened_at: datetime = field(init=False)
    updated_at: datetime = field(init=False)
    closed_at: datetime | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.opened_at = self.updated_at = self._now()

    @property
    def state(self) -> str:
        if self.is_pull_request and self.merged:
            return "MERGED"
        return "OPEN" if self.closed_at is None else "CLOSED"

    def at(
        self,
        opened_at: datetime | None = None,
        closed_at: datetime | None = None,
        updated_at: datetime | None = None,
    ) -> Item:
        """Set the times. Closing or merging counts as the last change unless another is given."""
        self.opened_at = opened_at or self._now()
        self.closed_at = closed_at or (self.opened_at if self.merged else None)
        self.updated_at = updated_at or self.closed_at or self.opened_at
        return self

    def label(self, *names: str, at: datetime | None = None) -> None:
        self.labels += [name for name in names if name not in self.labels]
        self.touch(at)

    def close(self, at: datetime | None = None) -> None:
        self.closed_at = at or self._now()
        self.touch(at)

    def delete(self) -> None:
        """Remove the item without a trace, as after a transfer."""
        del self.repository.items[self.number]

    def touch(self, at: datetime | None = None) -> None:
        """Update the item in a way that our queries do not show, such as a comment."""
        self.updated_at = at or self._now()

    def _now(self) -> datetime:
        return self.repository.github.clock.now()
