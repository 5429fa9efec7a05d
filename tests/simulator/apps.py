"""Apps, their installations and the tokens of these."""

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
# What an installation must hold to be sent an event, besides the App's subscription to it.
EVENT_PERMISSIONS = {
    "check_run": ("checks",), "check_suite": ("checks",), "issue_comment": ("issues", "pull_requests"),
    "push": ("contents",), "repository": ("metadata",),
}  # fmt: skip
EVENTS = ("check_run", "check_suite", "issue_comment", "push", "repository")


@functools.cache
def private_key(number: int) -> str:
    """A key in PEM, made once for each number and process, because making one takes a tenth of a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@functools.cache
def public_key(pem: str) -> bytes:
    key = load_pem_private_key(pem.encode(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Token:
    """What an access token may do, and until when."""

    text: str = field(repr=False)
    installation: Installation = field(repr=False)
    permissions: dict[str, str]
    repository_ids: frozenset[int] | None  # None: all that the installation has
    expires_at: datetime

    def reaches(self, repository: Repository) -> bool:
        """Has it this repository? What the installation loses, its tokens lose."""
        within = self.repository_ids is None or repository.repository_id in self.repository_ids
        return within and self.installation.has(repository)

    def allows(self, permission: str, level: str) -> bool:
        """Whatever either the token or its installation lacks is missing."""
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
    suites_off: set[int] = field(default_factory=set)  # repositories for which no suites are made on a push

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
        """Install on some repositories of an account, or on all that it has and will have; `installation.created`."""
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
            installation.sent = self.github.news.of_installation(
                "created", installation, by, {"repositories": installation.short_list(), "requester": None}
            )
            return installation

    def revoke_authorization(self, user: Account | str) -> list[Delivery]:
        """A user withdraws what they allowed the App: `github_app_authorization.revoked`."""
        with self.github.lock:
            return self.github.news.of_app(self, "github_app_authorization", "revoked", user)

    def ping(self) -> list[Delivery]:
        with self.github.lock:
            return self.github.news.ping(self)


@dataclass(eq=False)
class Installation:
    """An App on an account. `sent` are the deliveries that its making sent."""

    github: GitHub
    installation_id: int
    app: App
    account: Account
    permissions: dict[str, str]
    selected: set[int] | None  # ids of repositories; None: all of the account
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
        """Repositories as the payloads of installation events list them."""
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
        """A token, as the API makes them."""
        with self.github.lock:
            ids = None if repositories is None else frozenset(each.repository_id for each in repositories)
            return self.github.mint(self, permissions, ids, lifetime).text

    def uninstall(self, by: Account | str = "octocat") -> list[Delivery]:
        """Its tokens are dead at once, and GitHub knows it no longer; `installation.deleted`."""
        with self.github.lock:
            repositories = self.short_list()
            del self.github.installations[self.installation_id]
            for text in [text for text, token in self.github.tokens.items() if token.installation is self]:
                del self.github.tokens[text]
            return self.github.news.of_installation("deleted", self, by, {"repositories": repositories})

    def suspend(self, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.suspended_at = self.github.clock.now()
            self.suspended_by = self.github.as_account(by)
            return self.github.news.of_installation("suspend", self, by, {"repositories": self.short_list()})

    def unsuspend(self, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            self.suspended_at = self.suspended_by = None
            return self.github.news.of_installation("unsuspend", self, by, {"repositories": self.short_list()})

    def accept_permissions(self, permissions: Mapping[str, str], by: Account | str = "octocat") -> list[Delivery]:
        """An owner agrees to what the App asks for now; `installation.new_permissions_accepted`."""
        with self.github.lock:
            self.permissions = dict(permissions)
            return self.github.news.of_installation("new_permissions_accepted", self, by, {})

    def add(self, *repositories: Repository, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            if self.selected is not None:
                self.selected |= {each.repository_id for each in repositories}
            return self._tell_repositories("added", repositories, by)

    def remove(self, *repositories: Repository, by: Account | str = "octocat") -> list[Delivery]:
        with self.github.lock:
            if self.selected is None:
                self.selected = {each.repository_id for each in self.repositories}
            self.selected -= {each.repository_id for each in repositories}
            return self._tell_repositories("removed", repositories, by)

    def tell_lost(self, repository: Repository, by: Account | str) -> list[Delivery]:
        """A repository went away (deleted, transferred): the selection does not name it any more."""
        if self.selected is not None:
            self.selected.discard(repository.repository_id)
        return self._tell_repositories("removed", [repository], by)

    def tell_gained(self, repository: Repository, by: Account | str) -> list[Delivery]:
        return self._tell_repositories("added", [repository], by)

    def _tell_repositories(self, action: str, repositories: Iterable[Repository], by: Account | str) -> list[Delivery]:
        listed = self.short_list(repositories)
        rest = {
            "repository_selection": "all" if self.selected is None else "selected",
            "repositories_added": listed if action == "added" else [],
            "repositories_removed": listed if action == "removed" else [],
            "requester": None,
        }
        return self.github.news.of_installation(action, self, by, rest, event="installation_repositories")


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
    """A new App with a key and secrets of its own."""
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
