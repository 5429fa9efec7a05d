"""Apps, their installations, and installation tokens."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bot.records import AppCredentials
from tests.simulator.state import Account

if TYPE_CHECKING:
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository
    from tests.simulator.webhooks import Delivery

LEVELS = {"read": 1, "write": 2, "admin": 3}
FULL = {"checks": "write", "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "read"}
# Permissions of which an installation needs one to receive an event, besides the App's subscription.
EVENT_PERMISSIONS = {
    "check_run": ("checks",), "check_suite": ("checks",), "issue_comment": ("issues", "pull_requests"),
    "push": ("contents",), "repository": ("metadata",),
}  # fmt: skip
EVENTS = ("check_run", "check_suite", "issue_comment", "push", "repository")


@functools.cache
def private_key(number: int) -> str:
    """Generate a PEM key, once per number and process, as that takes a tenth of a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@functools.cache
def public_key(pem: str) -> bytes:
    key = load_pem_private_key(pem.encode(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Token:
    """An access token's permissions, repositories and expiry."""

    text: str = field(repr=False)
    installation: Installation = field(repr=False)
    permissions: dict[str, str]
    repository_ids: frozenset[int] | None  # None for all of the installation's
    expires_at: datetime

    def reaches(self, repository: Repository) -> bool:
        """Return whether the token and its installation both include this repository."""
        within = self.repository_ids is None or repository.repository_id in self.repository_ids
        return within and self.installation.has(repository)

    def allows(self, permission: str, level: str) -> bool:
        """Return whether the token and its installation both have the permission."""
        held = (self.permissions.get(permission, ""), self.installation.permissions.get(permission, ""))
        return all(LEVELS.get(each, 0) >= LEVELS[level] for each in held)


@dataclass(eq=False)
class App:
    """A registered App. `webhook_url` and `webhook_secret` may be set at any time, as on its settings page."""

    github: GitHub
    app_id: int
    slug: str
    name: str
    owner: Account
    webhook_url: str
    webhook_secret: str = field(repr=False)
    permissions: dict[str, str]
    events: tuple[str, ...]
    private_key: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    bot: Account
    hook_id: int
    created_at: datetime
    public: bool = False
    suites_off: set[int] = field(default_factory=set)  # repositories for which pushes create no suites

    @property
    def credentials(self) -> AppCredentials:
        return AppCredentials(
            app_id=self.app_id,
            private_key=self.private_key,
            webhook_secrets=(self.webhook_secret,),
            client_id=self.client_id,
            client_secret=self.client_secret,
            slug=self.slug,
        )

    @property
    def installations(self) -> list[Installation]:
        return [each for each in self.github.installations.values() if each.app is self]

    def install(
        self,
        account: Account,
        repositories: Sequence[Repository] | None = None,
        *,
        permissions: Mapping[str, str] | None = None,
        by: Account | str = "octocat",
    ) -> Installation:
        """Install on repositories of an account, or on all current and future ones; sends `installation.created`."""
        with self.github.lock:
            installation = Installation(
                github=self.github,
                installation_id=self.github.ids.next("installation"),
                app=self,
                account=account,
                permissions=dict(self.permissions if permissions is None else permissions),
                selected=None if repositories is None else {each.repository_id for each in repositories},
                created_at=self.github.clock.now(),
            )
            self.github.installations[installation.installation_id] = installation
            installation.sent = self.github.events.of_installation(
                "created", installation, by, {"repositories": installation.short_list(), "requester": None}
            )
            return installation

    def revoke_authorization(self, user: Account | str) -> list[Delivery]:
        """Revoke a user's authorization; sends `github_app_authorization.revoked`."""
        with self.github.lock:
            return self.github.events.of_app(self, "github_app_authorization", "revoked", user)

    def ping(self) -> list[Delivery]:
        with self.github.lock:
            return self.github.events.ping(self)


@dataclass(eq=False)
class Installation:
    """An App installed on an account. `sent` are the deliveries of its installation."""

    github: GitHub
    installation_id: int
    app: App
    account: Account
    permissions: dict[str, str]
    selected: set[int] | None  # repository ids; None for all of the account
    created_at: datetime
    suspended_at: datetime | None = None
    suspended_by: Account | None = None
    sent: list[Delivery] = field(default_factory=list)

    @property
    def is_gone(self) -> bool:
        return self.installation_id not in self.github.installations

    @property
    def repositories(self) -> list[Repository]:
        return [each for each in self.github.repositories.values() if self.has(each)]

    def has(self, repository: Repository) -> bool:
        mine = repository.owner is self.account and repository.repository_id in self.github.repositories
        return mine and (self.selected is None or repository.repository_id in self.selected)

    def allows(self, permission: str, level: str) -> bool:
        return LEVELS.get(self.permissions.get(permission, ""), 0) >= LEVELS[level]

    def short_list(self, repositories: Iterable[Repository] | None = None) -> list[dict[str, object]]:
        """List repositories as in the payloads of installation events."""
        return [
            {
                "id": each.repository_id,
                "node_id": f"R_{each.repository_id}",
                "name": each.name,
                "full_name": each.full_name,
                "private": each.private,
            }
            for each in (self.repositories if repositories is None else repositories)
        ]

    def token(
        self,
        permissions: Mapping[str, str] | None = None,
        repositories: Iterable[Repository] | None = None,
        lifetime: timedelta | None = None,
    ) -> str:
        """Create a token, as the API does."""
        with self.github.lock:
            ids = None if repositories is None else frozenset(each.repository_id for each in repositories)
            return self.github.mint(self, permissions, ids, lifetime).text

    def uninstall(self, by: Account | str = "octocat") -> list[Delivery]:
        """Delete the installation and its tokens; sends `installation.deleted`."""
        with self.github.lock:
            repositories = self.short_list()
            del self.github.installations[self.installation_id]
            for text in [text for text, token in self.github.tokens.items() if token.installation is self]:
                del self.github.tokens[text]
            return self.github.events.of_installation("deleted", self, by, {"repositories": repositories})

    def suspend(self, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.suspended_at = self.github.clock.now()
            self.suspended_by = self.github.as_account(by)
            return self.github.events.of_installation("suspend", self, by, {"repositories": self.short_list()})

    def unsuspend(self, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.suspended_at = self.suspended_by = None
            return self.github.events.of_installation("unsuspend", self, by, {"repositories": self.short_list()})

    def accept_permissions(self, permissions: Mapping[str, str], by: Account | str = "octocat") -> list[Delivery]:
        """Accept new permissions as an owner; sends `installation.new_permissions_accepted`."""
        with self.github.lock:
            self.permissions = dict(permissions)
            return self.github.events.of_installation("new_permissions_accepted", self, by, {})

    def add(self, *repositories: Repository, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            if self.selected is not None:
                self.selected |= {each.repository_id for each in repositories}
            return self._deliver_repositories("added", repositories, by)

    def remove(self, *repositories: Repository, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            if self.selected is None:
                self.selected = {each.repository_id for each in self.repositories}
            self.selected -= {each.repository_id for each in repositories}
            return self._deliver_repositories("removed", repositories, by)

    def remove_lost(self, repository: Repository, by: Account | str) -> list[Delivery]:
        """Drop a deleted or transferred repository from the selection."""
        if self.selected is not None:
            self.selected.discard(repository.repository_id)
        return self._deliver_repositories("removed", [repository], by)

    def add_gained(self, repository: Repository, by: Account | str) -> list[Delivery]:
        return self._deliver_repositories("added", [repository], by)

    def _deliver_repositories(
        self, action: str, repositories: Iterable[Repository], by: Account | str
    ) -> list[Delivery]:
        listed = self.short_list(repositories)
        rest = {
            "repository_selection": "all" if self.selected is None else "selected",
            "repositories_added": listed if action == "added" else [],
            "repositories_removed": listed if action == "removed" else [],
            "requester": None,
        }
        return self.github.events.of_installation(action, self, by, rest, event="installation_repositories")


def new_app(
    github: GitHub,
    owner: Account,
    name: str,
    webhook_url: str,
    permissions: Mapping[str, str],
    events: Iterable[str],
    *,
    public: bool = False,
) -> App:
    """Create an App with its own key and secrets."""
    slug = name.lower().replace(" ", "-")
    app_id = github.ids.next("app")
    return App(
        github=github,
        app_id=app_id,
        slug=slug,
        name=name,
        owner=owner,
        webhook_url=webhook_url,
        webhook_secret=secrets.token_hex(20),
        permissions=dict(permissions),
        events=tuple(events),
        private_key=private_key(len(github.apps)),
        client_id=f"Iv23li{secrets.token_urlsafe(10)}",
        client_secret=secrets.token_hex(20),
        bot=github.account(f"{slug}[bot]", type="Bot"),
        hook_id=github.ids.next("hook"),
        created_at=github.clock.now(),
        public=public,
    )
