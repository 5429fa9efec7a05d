"""GitHub's rules for which Apps receive an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.simulator import payloads
from tests.simulator.apps import EVENT_PERMISSIONS, App, Installation
from tests.simulator.state import Account, CheckRun, CheckSuite, Comment

if TYPE_CHECKING:
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository
    from tests.simulator.webhooks import Delivery

# To the App that may write checks, whether or not it subscribed.
_ALWAYS_SENT = {("check_suite", "requested"), ("check_suite", "rerequested"), ("check_run", "rerequested"),
                ("check_run", "requested_action")}  # fmt: skip


class EventRouter:
    """Creates the deliveries of an event and returns them."""

    def __init__(self, github: GitHub) -> None:
        self._github = github

    def of_repository(
        self, event: str, action: str, repo: Repository, by: Account | str, rest: Mapping[str, Any]
    ) -> list[Delivery]:
        """Deliver a repository's event to all Apps with access, permission and subscription."""
        sent = []
        for installation in self._github.installations_of(repo):
            wanted = event in installation.app.events or (event, action) in _ALWAYS_SENT
            allowed = any(installation.allows(each, "read") for each in EVENT_PERMISSIONS[event])
            if wanted and allowed and installation.suspended_at is None:
                payload = {**rest, **payloads.envelope(self._github.as_account(by), repo, installation)}
                app, ids = installation.app, (installation.installation_id, repo.repository_id)
                sent.append(self._github.webhooks.deliver(app, event, action, payload, *ids))
        return sent

    def of_checks(
        self,
        event: str,
        action: str,
        repo: Repository,
        by: Account | str,
        suite: CheckSuite,
        run: CheckRun | None,
        rest: Mapping[str, Any],
    ) -> list[Delivery]:
        """Deliver an event to the App that owns the suite."""
        sent = []
        for installation in self._github.installations_of(repo):
            app = installation.app
            wanted = event in app.events or (event, action) in _ALWAYS_SENT
            if app is suite.app and wanted and installation.allows("checks", "read"):
                envelope = payloads.envelope(self._github.as_account(by), repo, installation)
                payload = {**payloads.check_payload(suite, run), **rest, **envelope}
                ids = (installation.installation_id, repo.repository_id)
                sent.append(self._github.webhooks.deliver(app, event, action, payload, *ids))
        return sent

    def of_comment(
        self, action: str, repo: Repository, by: Account | str, comment: Comment, rest: Mapping[str, Any]
    ) -> list[Delivery]:
        return self.of_repository(
            "issue_comment", action, repo, by, {**payloads.comment_payload(repo, comment), **rest}
        )

    def of_installation(
        self,
        action: str,
        installation: Installation,
        by: Account | str,
        rest: Mapping[str, Any],
        event: str = "installation",
    ) -> list[Delivery]:
        payload = {
            **payloads.installation_payload(installation),
            **rest,
            "sender": payloads.envelope(self._github.as_account(by))["sender"],
        }
        return [
            self._github.webhooks.deliver(installation.app, event, action, payload, installation.installation_id, 0)
        ]

    def of_app(self, app: App, event: str, action: str, by: Account | str) -> list[Delivery]:
        return [self._github.webhooks.deliver(app, event, action, payloads.envelope(self._github.as_account(by)), 0, 0)]

    def ping(self, app: App) -> list[Delivery]:
        return [self._github.webhooks.deliver(app, "ping", "", payloads.ping_payload(app), 0, 0)]
