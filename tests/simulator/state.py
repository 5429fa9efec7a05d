"""Accounts, comments, check suites and check runs of the simulated GitHub."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.apps import App
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository
    from tests.simulator.webhooks import Delivery

STALE_AFTER = timedelta(days=14)


def stamp(at: datetime) -> str:
    """Format a time as GitHub does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_FIRST_IDS = {
    "account": 9_919, "repository": 1_296_269_000, "app": 1_143_301, "installation": 79_957_000,
    "check_run": 50_000_000_001, "check_suite": 45_000_000_001, "comment": 3_000_000_001,
    "delivery": 200_000_000_001, "reaction": 300_000_001, "hook": 500_000_001,
}  # fmt: skip


class Ids:
    """Generates ids as large as GitHub's: some need more than 32 bits."""

    def __init__(self) -> None:
        self._counters = {kind: itertools.count(first) for kind, first in _FIRST_IDS.items()}

    def next(self, kind: str) -> int:
        return next(self._counters[kind])


@dataclass(eq=False)
class Account:
    """A user, an organization or a bot."""

    github: GitHub
    account_id: int
    login: str
    type: str = "User"  # | "Organization" | "Bot"

    @property
    def email(self) -> str:
        return f"{self.login}@{self.github.noise.email_domain}"

    def repository(
        self,
        name: str,
        git_dir: Path | None = None,
        *,
        private: bool = False,
        archived: bool = False,
        disabled: bool = False,
        default_branch: str | None = None,
        issues: int = 3,
    ) -> Repository:
        """Create a repository with the git data in `git_dir`, or an empty one."""
        return self.github.add_repository(
            self,
            name,
            git_dir,
            private=private,
            archived=archived,
            disabled=disabled,
            default_branch=default_branch,
            issues=issues,
        )

    def rename(self, login: str) -> None:
        self.github.rename_account(self, login)


@dataclass(eq=False)
class Comment:
    """A comment on an issue or a pull request."""

    github: GitHub
    comment_id: int
    repository: Repository
    issue_number: int
    user: Account
    body: str
    created_at: datetime
    updated_at: datetime
    app: App | None = None
    reactions: list[dict[str, Any]] = field(default_factory=list)  # content, login, id, at

    def edit(self, body: str, user: Account | str | None = None) -> list[Delivery]:
        """Edit the text as a person; sends `issue_comment.edited`."""
        with self.github.lock:
            before, self.body, self.updated_at = self.body, body, self.github.clock.now()
            changes = {"changes": {"body": {"from": before}}}
            return self.repository.deliver_comment_event("edited", self, user or self.user, changes)

    def delete(self) -> list[Delivery]:
        with self.github.lock:
            del self.github.comments[self.comment_id]
            return self.repository.deliver_comment_event("deleted", self, self.user, {})


@dataclass(eq=False)
class CheckSuite:
    """All check runs of an App on a commit."""

    suite_id: int
    repository: Repository
    app: App
    head_sha: str
    created_at: datetime
    automatic: bool  # made by GitHub on a push
    status: str = "queued"
    conclusion: str | None = None

    @property
    def runs(self) -> list[CheckRun]:
        return [run for run in self.repository.check_runs if run.suite is self]

    def settle(self) -> None:
        """Complete the suite once all of its runs are."""
        runs = self.runs
        if runs and all(run["status"] == "completed" for run in runs):
            self.status, self.conclusion = "completed", runs[-1]["conclusion"]
        elif runs:
            self.status, self.conclusion = "in_progress", None

    def rerequest(self, user: Account | str = "octocat") -> list[Delivery]:
        """Click "Re-run all checks": the suite is queued again, its runs stay unchanged."""
        github = self.repository.github
        with github.lock:
            self.status, self.conclusion = "queued", None
            return github.events.of_checks("check_suite", "rerequested", self.repository, user, self, None, {})


class CheckRun(dict[str, Any]):
    """A check run as in GitHub's API; attributes hold what the API does not show."""

    def __init__(self, suite: CheckSuite, created_at: datetime, shown: dict[str, Any]) -> None:
        super().__init__(shown)
        self.suite = suite
        self.created_at = created_at
        self.actions: list[dict[str, str]] = []
        self.annotations: list[dict[str, Any]] = []
        self.writes = 1  # requests that made or changed it

    @property
    def repository(self) -> Repository:
        return self.suite.repository

    def age(self, now: datetime) -> None:
        """Mark a run that was never completed as stale, as GitHub does."""
        if self["status"] != "completed" and now - self.created_at >= STALE_AFTER:
            self.update(status="completed", conclusion="stale", completed_at=stamp(self.created_at + STALE_AFTER))
            self.suite.settle()

    def rerequest(self, user: Account | str = "octocat") -> list[Delivery]:
        """Click "Re-run": the run's *suite* is queued again, the run stays unchanged."""
        github = self.repository.github
        with github.lock:
            self.suite.status, self.suite.conclusion = "queued", None
            return github.events.of_checks("check_run", "rerequested", self.repository, user, self.suite, self, {})

    def press(self, user: Account | str, identifier: str) -> list[Delivery]:
        """Click a button. Raises AssertionError if the run has no such button."""
        shown = [action["identifier"] for action in self.actions]
        assert identifier in shown, f"no button {identifier!r} on {self['name']}, only {shown}"
        return self.press_unseen(user, identifier)

    def press_unseen(self, user: Account | str, identifier: str) -> list[Delivery]:
        """Send the event of a button that the run may no longer have, as from an outdated page."""
        github = self.repository.github
        with github.lock:
            pressed = {"requested_action": {"identifier": identifier}}
            return github.events.of_checks(
                "check_run", "requested_action", self.repository, user, self.suite, self, pressed
            )
