"""A repository and what people can do to it; each action sends GitHub's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulator import git_facts
from tests.simulator.payloads import push_payload
from tests.simulator.state import Account, CheckRun, CheckSuite, Comment
from tests.simulator.tracking import Item

if TYPE_CHECKING:
    from tests.simulator.apps import App
    from tests.simulator.github import GitHub
    from tests.simulator.webhooks import Delivery

NO_COMMIT = "0" * 40


@dataclass(eq=False)
class Repository:
    """A repository. `by` is the login of the person who acts."""

    github: GitHub
    repository_id: int
    owner: Account
    name: str
    git_dir: Path
    default_branch: str
    private: bool
    archived: bool
    disabled: bool
    created_at: datetime
    pushed_at: datetime
    issues: int = 3  # issues 1 to `issues` exist
    pull_requests: set[int] = field(default_factory=set)  # which of these numbers are pull requests
    locked: set[int] = field(default_factory=set)  # and which conversations are locked
    items: dict[int, Item] = field(default_factory=dict)  # issues and pull requests that GraphQL shows, by number
    roles: dict[str, str] = field(default_factory=dict)  # login -> read | triage | write | maintain | admin | custom
    check_runs: list[CheckRun] = field(default_factory=list)
    check_suites: list[CheckSuite] = field(default_factory=list)
    known_heads: dict[str, str] = field(default_factory=dict)  # branch -> commit as of the last push

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def is_empty(self) -> bool:
        return not git_facts.heads(self.git_dir)

    @property
    def comments(self) -> list[Comment]:
        return [each for each in self.github.comments.values() if each.repository is self]

    def head(self, branch: str = "") -> str | None:
        """Return the head commit of a branch, by default the default branch."""
        return git_facts.heads(self.git_dir).get(branch or self.default_branch)

    def pushed(self, branch: str = "", *, forced: bool = False, by: Account | str = "octocat") -> list[Delivery]:
        """Send a push after the test moved the branch in `git_dir`; creates check suites as GitHub does."""
        with self.github.lock:
            branch = branch or self.default_branch
            after = self.head(branch) or NO_COMMIT
            before = self.known_heads.get(branch, NO_COMMIT)
            self.known_heads[branch] = after
            self.pushed_at = self.github.clock.now()
            payload = push_payload(self, branch, before, after, forced, self.github.as_account(by))
            sent = self.github.events.of_repository("push", "", self, by, payload)
            return sent if after == NO_COMMIT else sent + self._make_suites(after, by)

    def pushed_tag(self, tag: str, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            after = git_facts.resolve(self.git_dir, f"tags/{tag}") or NO_COMMIT
            payload = push_payload(self, tag, NO_COMMIT, after, False, self.github.as_account(by), kind="tags")
            return self.github.events.of_repository("push", "", self, by, payload)

    def _make_suites(self, head_sha: str, by: Account | str) -> list[Delivery]:
        sent: list[Delivery] = []
        for installation in self.github.installations_of(self):
            app = installation.app
            if installation.allows("checks", "write") and self.repository_id not in app.suites_off:
                suite = self.suite_of(app, head_sha, automatic=True)
                sent += self.github.events.of_checks("check_suite", "requested", self, by, suite, None, {})
        return sent

    def suite_of(self, app: App, head_sha: str, *, automatic: bool = False) -> CheckSuite:
        """Return the App's suite on a commit, creating it if necessary."""
        for suite in self.check_suites:
            if suite.app is app and suite.head_sha == head_sha:
                return suite
        suite = CheckSuite(self.github.ids.next("check_suite"), self, app, head_sha, self.github.clock.now(), automatic)
        self.check_suites.append(suite)
        return suite

    def rename(self, name: str, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            before = self.name
            self.github.forward(self)
            self.name = name
            self.github.settle_name(self)
            return self._deliver("renamed", by, {"changes": {"repository": {"name": {"from": before}}}})

    def transfer(self, to: Account, *, by: Account | str = "octocat") -> list[Delivery]:
        """Transfer to another account. Only the new account's installations receive `repository.transferred`."""
        with self.github.lock:
            losing = self.github.installations_of(self)
            before = self.owner
            self.github.forward(self)
            self.owner = to
            self.github.settle_name(self)
            sent = [delivery for each in losing for delivery in each.remove_lost(self, by)]
            sent += [d for each in self.github.installations_of(self) for d in each.add_gained(self, by)]
            kind = "user" if before.type == "User" else "organization"
            who = {"login": before.login, "id": before.account_id, "type": before.type}
            return sent + self._deliver("transferred", by, {"changes": {"owner": {"from": {kind: who}}}})

    def archive(self, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.archived = True
            return self._deliver("archived", by)

    def unarchive(self, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.archived = False
            return self._deliver("unarchived", by)

    def privatize(self, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.private = True
            return self._deliver("privatized", by)

    def publicize(self, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.private = False
            return self._deliver("publicized", by)

    def edit_default_branch(self, branch: str, *, by: Account | str = "octocat") -> list[Delivery]:
        """Change the default branch, and HEAD in `git_dir`, which clones see."""
        with self.github.lock:
            before, self.default_branch = self.default_branch, branch
            git_facts.point_head(self.git_dir, branch)
            return self._deliver("edited", by, {"changes": {"default_branch": {"from": before}}})

    def delete(self, *, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            installations = self.github.installations_of(self)
            sent = self._deliver("deleted", by)
            self.github.forget(self)
            return sent + [delivery for each in installations for delivery in each.remove_lost(self, by)]

    def issue(self, number: int, *, labels: Iterable[str] = (), issue_type: str | None = None, **at: datetime) -> Item:
        """Create an issue for GraphQL; `opened_at`, `closed_at` and `updated_at` as `Item.at` has them."""
        with self.github.lock:
            self.issues = max(self.issues, number)
            item = self.items[number] = Item(self, number, labels=list(labels), issue_type=issue_type)
            return item.at(**at)

    def pull_request(
        self,
        number: int,
        *,
        labels: Iterable[str] = (),
        merged: str | None = None,
        closes: Iterable[Item] = (),
        **at: datetime,
    ) -> Item:
        """Create a pull request for GraphQL, open unless `merged` names the commit that merged it."""
        with self.github.lock:
            self.issues = max(self.issues, number)
            self.pull_requests.add(number)
            item = Item(self, number, labels=list(labels), is_pull_request=True, merged=merged, closes=list(closes))
            self.items[number] = item
            return item.at(**at)

    def comment(self, user: Account | str, body: str, issue: int = 1, *, on_pull_request: bool = False) -> Comment:
        """Comment as a person; sends `issue_comment.created`. The deliveries are `github.deliveries[-n:]`."""
        with self.github.lock:
            if on_pull_request:
                self.pull_requests.add(issue)
            self.issues = max(self.issues, issue)
            comment = self.add_comment(self.github.as_account(user), body, issue)
            self.deliver_comment_event("created", comment, comment.user, {})
            return comment

    def add_comment(self, user: Account, body: str, issue: int, app: App | None = None) -> Comment:
        now = self.github.clock.now()
        comment = Comment(self.github, self.github.ids.next("comment"), self, issue, user, body, now, now, app)
        self.github.comments[comment.comment_id] = comment
        return comment

    def deliver_comment_event(
        self, action: str, comment: Comment, by: Account | str, rest: Mapping[str, Any]
    ) -> list[Delivery]:
        return self.github.events.of_comment(action, self, by, comment, rest)

    def _deliver(self, action: str, by: Account | str, rest: Mapping[str, Any] | None = None) -> list[Delivery]:
        return self.github.events.of_repository("repository", action, self, by, dict(rest or {}))
