"""A GitHub, the whole App in this process, and a clock that only the test moves, so that outages last no time."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from bot.policy import Policy
from bot.store.repositories import load_repository
from tests.builders.running_app import RunningApp, running_app
from tests.flows.test_screening_flow import small_history
from tests.simulator.apps import Installation
from tests.simulator.clocks import SettableClock
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

BASIC = {"contents": "read", "metadata": "read"}
POSTING = {"checks": "write", **BASIC}


@dataclass
class OutageStage:
    folder: Path
    clock: SettableClock
    github: GitHub
    app: RunningApp

    def account(self, name: str = "acme") -> Account:
        return self.github.account(name, type="Organization")

    def repository(self, account: Account, name: str = "shop") -> Repository:
        git_dir = small_history(self.folder / f"{account.login}-{name.strip('.')}.git")
        made = account.repository(name, git_dir=git_dir)
        made.roles["ann"] = "maintain"
        return made

    def install(self, account: Account, *repositories: Repository, permissions: Any = None) -> Installation:
        return self.heard(lambda: self.app.registered.install(account, repositories, permissions=permissions))

    def installed(self, permissions: Any = None) -> tuple[Repository, Installation]:
        """Install the App on one repository, and wait for whatever follows."""
        account = self.account()
        shop = self.repository(account)
        return shop, self.install(account, shop, permissions=permissions)

    def heard(self, act: Callable[[], Any]) -> Any:
        """Do something on GitHub, and wait until what it sent is handled and nothing is left to do."""
        before = len(self.github.deliveries)
        result = act()
        self.app.hear(self.github.deliveries[before:])
        self.app.until_idle()
        return result

    def passes(self, *, minutes: float = 0, hours: float = 0, steps: int = 1) -> None:
        for _ in range(steps):
            self.clock.advance(timedelta(minutes=minutes, hours=hours))
            self.app.until_idle()

    def commit(self, repository: Repository, years: float = 4.2) -> None:
        """Move the head without any delivery."""
        small_history(repository.git_dir, years)

    def push(self, repository: Repository, years: float = 4.2) -> None:
        self.commit(repository, years)
        self.heard(repository.pushed)
        self.passes(minutes=1.1, steps=2)

    def error(self, installation: Installation, repository: Repository) -> str:
        ids = installation.installation_id, repository.repository_id
        memory = self.app.ask(lambda connection: load_repository(connection, *ids))
        return "" if memory is None else memory.last_error

    def sends(self, event: str, payload: dict[str, Any]) -> int:
        """Deliver what the local GitHub cannot; return the status of the response."""
        body = json.dumps(payload).encode()
        secret = self.app.registered.webhook_secret.encode()
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
            "Content-Type": "application/json",
        }
        sent = httpx.post(self.app.registered.webhook_url, content=body, headers=headers, timeout=20, trust_env=False)
        self.app.until_idle()
        return sent.status_code


def answered(*repositories: Repository) -> list[bool]:
    """Return of each whether its newest check run is on its head."""
    return [bool(each.check_runs) and each.check_runs[-1]["head_sha"] == each.head() for each in repositories]


@contextlib.contextmanager
def outage_stage(folder: Path, policy: Policy | None = None) -> Iterator[OutageStage]:
    clock = SettableClock()
    with (
        serve_github(folder / "github", clock) as github,
        running_app(folder / "app", github, clock, policy or Policy(sweep_s=0.1)) as app,
    ):
        yield OutageStage(folder, clock, github, app)


def texts(repository: Repository) -> Sequence[str]:
    """Return our comments, each by its first line."""
    return [comment.body.splitlines()[0] for comment in repository.comments if comment.app is not None]
