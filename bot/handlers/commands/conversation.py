"""The command handler's requests to GitHub: the comment, the role of its sender, the head, and reactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from bot.commands.grammar import Command
from bot.commands.permission import may
from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.github.rate_limits import next_write
from bot.jobs.context import ASK, JobContext
from bot.records import Installation, Permission, Repository
from bot.store.content_writes import reserve_write

log = structlog.get_logger(__name__)

Reaction = Literal["eyes", "rocket", "confused"]


@dataclass(frozen=True)
class Conversation:
    """One command, and a client with the permissions to look at its subject."""

    context: JobContext
    client: InstallationClient
    installation: Installation
    repository: Repository
    comment_id: int | None  # none: a button

    async def may(self, requested: Command, login: str, account_id: int, required: Permission) -> bool:
        """Return whether the account's role permits the command, where `required` is the least role for runs."""
        role = await self.client.role(self.repository.full_name, login, account_id)
        return may(role, requested, required)

    async def head(self) -> str:
        """Return the head of the default branch; empty without a commit or the permission to read it."""
        repository = self.repository
        if not _reads_code(self.installation) or repository.archived or not repository.default_branch:
            return ""
        try:
            return await self.client.head(repository.full_name, repository.default_branch)
        except NotFound:
            return ""

    async def react(self, reaction: Reaction) -> None:
        """React to the comment, if there is one and GitHub's write limits leave room. Failures are only logged.

        A reaction is dropped rather than delayed, because verdicts share the same limits.
        """
        context = self.context
        if not self.comment_id or self.installation.permissions.get("issues") != "write":
            return
        async with context.effect() as connection:
            if await reserve_write(connection, context.installation_id, context.now(), next_write) is not None:
                return
        try:
            await self.client.react(self.repository.full_name, self.comment_id, reaction)
        except (Forbidden, NotFound, Rejected) as error:
            log.info("no_reaction", problem=type(error).__name__)


async def open_conversation(
    context: JobContext, installation: Installation, repository: Repository, comment_id: int | None = None
) -> Conversation:
    """Mint a token for the command and return the conversation. Raises GitHubError."""
    permissions = {**ASK, **({"contents": "read"} if _reads_code(installation) else {})}
    if comment_id is not None:
        permissions |= comment_permissions(installation)
    return Conversation(context, await context.client(permissions), installation, repository, comment_id)


def comment_permissions(installation: Installation) -> Mapping[str, str]:
    """Return a token's permissions for comments: those on pull requests may need one more, if it is granted."""
    granted = installation.permissions
    more = {"pull_requests": "write"} if granted.get("pull_requests") == "write" else {}
    return {**ASK, "issues": granted.get("issues", "read"), **more}


def _reads_code(installation: Installation) -> bool:
    return "contents" in installation.permissions
