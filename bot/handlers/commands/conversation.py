"""With whoever gave a command: what GitHub says of them, what we say back at once, and what our rows say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from bot.commands.facts import Facts
from bot.commands.grammar import Command
from bot.commands.permission import may
from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.github.rate_limits import next_write
from bot.handlers.commands.load_facts import load_facts
from bot.jobs.context import ASK, JobContext
from bot.records import Fact, Installation, Repository
from bot.repo_config.effective import load_effective_config
from bot.store.content_writes import reserve_write

log = structlog.get_logger(__name__)

Reaction = Literal["eyes", "rocket", "confused"]


@dataclass(frozen=True)
class Conversation:
    """One command, and a client that may look at what it is about."""

    context: JobContext
    client: InstallationClient
    installation: Installation
    repository: Repository

    async def may(self, asked: Command, login: str, account_id: int) -> bool:
        ids = self.repository.installation_id, self.repository.repository_id
        async with self.context.parts.database.read() as connection:
            config = await load_effective_config(connection, self.context.parts.policy, *ids)
        role = await self.client.role(self.repository.full_name, login, account_id)
        return may(role, asked, config.permission)

    async def head(self) -> str:
        """Of the default branch; empty where it has no commit, or we may not know."""
        repository = self.repository
        if not _reads_code(self.installation) or repository.archived or not repository.default_branch:
            return ""
        try:
            return await self.client.head(repository.full_name, repository.default_branch)
        except NotFound:
            return ""

    async def facts(self, head_sha: str) -> Facts:
        parts, now = self.context.parts, self.context.now()
        async with parts.database.read() as connection:
            return await load_facts(
                connection, parts.policy, self.installation, self.repository, now, head_sha=head_sha
            )

    async def react(self, reaction: Reaction) -> None:
        """To the comment, if it is one, and only where there is room under GitHub's limits: verdicts come first, and no
        command fails for want of it."""
        context, comment_id = self.context, number(self.context.job.arguments, "comment_id")
        if not comment_id or self.installation.permissions.get("issues") != "write":
            return
        async with context.effect() as connection:
            if await reserve_write(connection, context.installation_id, context.now(), next_write) is not None:
                return
        try:
            await self.client.react(self.repository.full_name, comment_id, reaction)
        except (Forbidden, NotFound, Rejected) as problem:
            log.info("no_reaction", problem=type(problem).__name__)


async def begin(context: JobContext, installation: Installation, repository: Repository) -> Conversation:
    """Under a fresh token. Raises GitHubError."""
    permissions = {**ASK, **({"contents": "read"} if _reads_code(installation) else {})}
    if "comment_id" in context.job.arguments:
        permissions |= speaking(installation)
    return Conversation(context, await context.client(permissions), installation, repository)


def speaking(installation: Installation) -> Mapping[str, str]:
    """The permissions of a token for comments. Those on pull requests may take one more, where it is granted."""
    granted = installation.permissions
    more = {"pull_requests": "write"} if granted.get("pull_requests") == "write" else {}
    return {**ASK, "issues": granted.get("issues", "read"), **more}


def number(arguments: Mapping[str, Fact], name: str) -> int:
    """A number of a job's arguments; 0 where there is none."""
    value = arguments.get(name, 0)
    return value if isinstance(value, int) else 0


def _reads_code(installation: Installation) -> bool:
    return "contents" in installation.permissions
