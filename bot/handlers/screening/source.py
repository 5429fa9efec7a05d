"""Load the subject of a screening from GitHub: the repository, its head and configuration, and a token to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.github.client import InstallationClient
from bot.github.errors import NotFound
from bot.handlers.screening.repo_config import read_configuration
from bot.jobs.context import READ, JobContext
from bot.records import Repository, StoredScreening
from bot.repo_config.effective import effective_config
from bot.repo_config.precedence import EffectiveConfig
from bot.repo_config.stored import NOTHING_STORED
from bot.store.repositories import save_repository


@dataclass(frozen=True)
class Source:
    """A repository as GitHub describes it now."""

    repository: Repository
    head_sha: str
    config: EffectiveConfig
    client: InstallationClient
    token: str = field(repr=False)
    began_at: datetime
    seen_at: datetime  # when this head was first seen


async def load_source(context: JobContext, known: Repository, newest: StoredScreening | None) -> Source:
    """Ask GitHub for the repository as it is now, and save what changed."""
    began_at = context.now()
    token = await context.parts.github.mint(context.installation_id, context.repository_id, READ)
    client = context.parts.github.installation_client(context.installation_id, token)
    repository = await client.repository(known.full_name, context.repository_id)
    head_sha = "" if repository.archived else await _head(client, repository)
    if repository != known:
        async with context.effect() as connection:
            await save_repository(connection, repository)
    config = await _configuration(context, client, repository, head_sha)
    seen_before = newest is not None and newest.head_sha == head_sha
    seen_at = newest.measured_at if newest is not None and seen_before else began_at
    return Source(repository, head_sha, config, client, token, began_at, seen_at)


async def _configuration(
    context: JobContext, client: InstallationClient, repository: Repository, head_sha: str
) -> EffectiveConfig:
    if not head_sha:
        return effective_config(context.parts.policy, NOTHING_STORED, NOTHING_STORED)
    return await read_configuration(context, client, repository, head_sha)


async def _head(client: InstallationClient, repository: Repository) -> str:
    """Return the head; empty if the repository has no commit."""
    if not repository.default_branch:
        return ""
    try:
        return await client.head(repository.full_name, repository.default_branch)
    except NotFound:
        return ""
