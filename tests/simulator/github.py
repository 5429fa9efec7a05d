"""A GitHub for tests and the demo: its API, web pages, webhooks and git over HTTP on a loopback address.

    with serve_github(tmp_path, SettableClock()) as github:
        app = github.register_app(webhook_url="http://127.0.0.1:8000/webhook")
        acme = github.account("acme", type="Organization")
        shop = acme.repository("shop", git_dir=tmp_path / "shop.git")
        installation = app.install(acme, [shop])           # sends installation.created
        shop.pushed()                                      # sends push, after the test moved the branch
        shop.check_runs[-1].press("alice", "rescreen")     # sends check_run.requested_action

Leaving the context raises AssertionError for requests and responses that violate GitHub's OpenAPI description.
Actions return their deliveries, which are sent in the background: `delivery.wait()`, `github.settle()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from bot.clock import Clock, SystemClock
from tests.simulator import git_facts, git_server, payloads, tokens
from tests.simulator.apps import EVENTS, FULL, App, Installation, Token, new_app
from tests.simulator.description import load_description
from tests.simulator.event_router import EventRouter
from tests.simulator.faults import Fault, FaultRule
from tests.simulator.git_http import GitCache
from tests.simulator.graphql_limits import GraphQl
from tests.simulator.limits import Limits
from tests.simulator.messages import RecordedRequest
from tests.simulator.pages import Registrations
from tests.simulator.repositories import Repository
from tests.simulator.server import API_PREFIX, Server
from tests.simulator.state import Account, CheckRun, Comment, Ids
from tests.simulator.webhooks import Delivery, Webhooks


class GitHub:
    """The state of a GitHub. Hold `lock` for a consistent view of several parts."""

    enterprise_version = "3.19.0"

    def __init__(self, root: Path, clock: Clock, description: str) -> None:
        self.root = root
        self.clock = clock
        self.description = load_description(description)
        self.lock = threading.RLock()
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # set when the server starts
        self.url = self.api_url = ""
        self.ids = Ids()
        self.noise = payloads.Noise()
        self.limits = Limits(clock.now)
        if self.description.is_enterprise:
            self.limits.primary = None
        self.graphql = GraphQl(clock.now)
        if self.description.is_enterprise:
            self.graphql.points_an_hour = None
        self.webhooks = Webhooks(self)
        self.events = EventRouter(self)
        self.registrations = Registrations()
        self.git_cache = GitCache()
        self.git_fault: git_server.Fault | None = None  # `git_server.cut_after(1_000)` and its like
        self.old_git_protocol = False
        self.token_lifetime = timedelta(hours=1)
        self.strict_pull_requests = False  # writing to a pull request requires pull_requests: write
        self.allow_loopback = True  # hook URLs of manifests may be those of this machine
        self.controllable = False  # over HTTP, by `tests.simulator.control`
        self.custom_roles: dict[str, str] = {}  # name -> the role that it extends
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, Token] = {}
        self.check_runs: dict[int, CheckRun] = {}
        self.comments: dict[int, Comment] = {}
        self.faults: list[FaultRule] = []
        self.requests: list[RecordedRequest] = []
        self.violations: list[str] = []
        self._old_names: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._request_ids = itertools.count(1)

    # Accounts, Apps and repositories.

    def account(self, login: str, type: str = "User") -> Account:
        """Return the account of that login, creating it if necessary."""
        with self.lock:
            found = self.accounts.get(login.lower())
            if found is None:
                found = self.accounts[login.lower()] = Account(self, self.ids.next("account"), login, type)
            return found

    def as_account(self, who: Account | str) -> Account:
        return self.account(who) if isinstance(who, str) else who

    def register_app(
        self,
        webhook_url: str = "",
        permissions: Mapping[str, str] = FULL,
        events: Iterable[str] = EVENTS,
        *,
        name: str = "Assay",
        owner: Account | str = "octocat",
        public: bool = True,
    ) -> App:
        """Register an App as on the settings page; GitHub pings its webhook."""
        with self.lock:
            app = new_app(self, self.as_account(owner), name, webhook_url, permissions, events, public=public)
            self.apps[app.app_id] = app
            app.ping()
            return app

    def add_repository(
        self,
        owner: Account,
        name: str,
        git_dir: Path | None,
        *,
        private: bool,
        archived: bool,
        disabled: bool,
        default_branch: str | None,
        issues: int,
    ) -> Repository:
        """Add a repository, and announce it to installations on all repositories of the account."""
        with self.lock:
            number = self.ids.next("repository")
            if git_dir is None:
                git_dir = git_facts.make_empty(self.root / "simulated" / f"{number}.git")
            now = self.clock.now()
            repo = Repository(
                github=self,
                repository_id=number,
                owner=owner,
                name=name,
                git_dir=git_dir,
                default_branch=default_branch or git_facts.default_branch(git_dir),
                private=private,
                archived=archived,
                disabled=disabled,
                created_at=now,
                pushed_at=now,
                issues=issues,
                known_heads=git_facts.heads(git_dir),
            )
            self.repositories[number] = repo
            self.settle_name(repo)
            for installation in self.installations_of(repo):
                installation.add_gained(repo, owner)
            self.events.of_repository("repository", "created", repo, owner, {})
            return repo

    def installations_of(self, repo: Repository) -> list[Installation]:
        return [each for each in self.installations.values() if each.has(repo)]

    # Names, and old names that redirect.

    def look_up(self, owner: str, name: str) -> tuple[Repository | None, bool]:
        """Return the repository of that name, and whether the name is an old one."""
        key = f"{owner}/{name}".lower()
        if key in self._names:
            return self.repositories[self._names[key]], False
        number = self._old_names.get(key, 0)
        return self.repositories.get(number), True

    def forward(self, repo: Repository) -> None:
        """Turn the current name into an old one that redirects."""
        key = repo.full_name.lower()
        self._names.pop(key, None)
        self._old_names[key] = repo.repository_id

    def settle_name(self, repo: Repository) -> None:
        self._names[repo.full_name.lower()] = repo.repository_id
        self._old_names.pop(repo.full_name.lower(), None)

    def forget(self, repo: Repository) -> None:
        del self.repositories[repo.repository_id]
        del self._names[repo.full_name.lower()]

    def rename_account(self, account: Account, login: str) -> None:
        with self.lock:
            mine = [repo for repo in self.repositories.values() if repo.owner is account]
            for repo in mine:
                self.forward(repo)
            del self.accounts[account.login.lower()]
            account.login = login
            self.accounts[login.lower()] = account
            for repo in mine:
                self.settle_name(repo)

    # Deliveries.

    @property
    def deliveries(self) -> list[Delivery]:
        """Every delivery sent, oldest first."""
        return self.webhooks.sent

    @property
    def deliver_now(self) -> bool:
        return self.webhooks.deliver_now

    @deliver_now.setter
    def deliver_now(self, value: bool) -> None:
        self.webhooks.deliver_now = value

    def release(self) -> list[Delivery]:
        """Send deliveries held back while `deliver_now` was off."""
        return self.webhooks.release()

    def redeliver(self, delivery: Delivery, times: int = 1) -> list[Delivery]:
        return self.webhooks.redeliver(delivery, times)

    def settle(self, timeout_s: float = 15.0) -> None:
        """Wait until every delivery has a response."""
        self.webhooks.settle(timeout_s)

    # Tokens, faults and violations.

    def mint(
        self,
        installation: Installation,
        permissions: Mapping[str, str] | None,
        repository_ids: frozenset[int] | None,
        lifetime: timedelta | None = None,
    ) -> Token:
        return tokens.mint(self, installation, permissions, repository_ids, lifetime)

    def take_manifest_code(self, code: str) -> App | None:
        return self.registrations.take(code, self.clock.now())

    def fault(self, match: str, response: Fault, times: int = 1) -> FaultRule:
        """Fail the next `times` requests whose `METHOD PATH` matches fully, by a fault of `tests.simulator.faults`.

        PATH excludes the query and the prefix /api/v3.
        """
        rule = FaultRule(re.compile(match), response, times)
        with self.lock:
            self.faults.append(rule)
        return rule

    def violate(self, sentence: str) -> None:
        self.violations.append(sentence)

    def request_id(self) -> str:
        return f"{secrets.token_hex(2)}:{next(self._request_ids)}".upper()


@contextlib.contextmanager
def serve_github(
    root: Path,
    clock: Clock | None = None,
    description: str = "api.github.com",
    *,
    port: int = 0,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[GitHub]:
    """Serve a GitHub, or a GHES with the description "ghes-3.19"; `tls` is a certificate and its key.

    Raises AssertionError at the end with everything in `violations`.
    """
    github = GitHub(root, clock or SystemClock(), description)
    server = Server(github, port, tls)
    github.url, github.api_url = server.url, server.url + API_PREFIX
    server.start()
    try:
        yield github
    finally:
        server.stop()
    assert not github.violations, "\n".join(github.violations)
