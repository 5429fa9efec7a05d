"""Read `.github/assay.yml` of a repository and of its organization at the heads of their default branches.

The organization's file is in its repository `.github`, and is read with a token for that repository alone, if the
installation includes it. Both are stored for commands and postings, and a commit is read only once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.jobs.arguments import PostJob, request
from bot.jobs.context import READ, JobContext
from bot.messages.screen_notes import config_notes
from bot.policy import Policy
from bot.records import Repository, RepositoryMemory
from bot.repo_config.effective import effective_config
from bot.repo_config.parse import CONFIG_PATH, parse_config
from bot.repo_config.precedence import EffectiveConfig
from bot.repo_config.stored import StoredConfig, dump_config, load_config
from bot.store.configs import load_configs, save_organization_config, save_repository_config
from bot.store.database import Connection
from bot.store.jobs import hold_lease, request_job
from bot.store.repositories import list_repositories

log = structlog.get_logger(__name__)

ORGANIZATION_REPOSITORY: Final = ".github"


async def read_configuration(
    context: JobContext, client: InstallationClient, repository: Repository, head_sha: str
) -> EffectiveConfig:
    """Read, store and return the configuration at `head_sha`, the head of the default branch."""
    ids = context.installation_id, repository.repository_id
    async with context.parts.database.read() as connection:
        organization_row, repository_row = await load_configs(connection, *ids)
        holder = _find_holder(await list_repositories(connection, context.installation_id), repository)
    known_organization, known = load_config(organization_row), load_config(repository_row)
    own = await _read(client, repository.full_name, head_sha, known)
    organization = await _read_organization(context, holder, known_organization)
    if own != known or organization != known_organization or repository_row is None or organization_row is None:
        before = _sharing_of(known), _sharing_of(known_organization)
        sharing_changed = (_sharing_of(own), _sharing_of(organization)) != before
        async with context.parts.database.write() as connection:
            # Before the lease: `recalibrate` holds its own row and requests jobs like this one.
            if sharing_changed:
                await request_job(connection, context.installation_id, 0, "recalibrate", context.now())
            if organization.parsed != known_organization.parsed:
                await _request_looks(connection, context)
            await hold_lease(connection, context.job)
            await save_repository_config(connection, *ids, dump_config(own))
            await save_organization_config(connection, context.installation_id, dump_config(organization))
    return effective_config(context.parts.policy, organization, own)


async def _request_looks(connection: Connection, context: JobContext) -> None:
    """Let every other repository follow the organization's file, without waiting for a push to it."""
    for memory in await list_repositories(connection, context.installation_id):
        repository = memory.repository
        if repository.repository_id != context.repository_id and not repository.archived and memory.measured_at:
            ids = context.installation_id, repository.repository_id
            await request(connection, *ids, PostJob(look=True), context.now())


def holds_organization_file(repository: Repository) -> bool:
    """Return whether this repository may hold the organization's file."""
    return repository.full_name.partition("/")[2].lower() == ORGANIZATION_REPOSITORY


def _sharing_of(stored: StoredConfig) -> bool | None:
    """Return a file's setting for sharing outcomes; None if it sets nothing."""
    return stored.parsed.config.share_outcomes


async def _read(client: InstallationClient, full_name: str, head_sha: str, known: StoredConfig) -> StoredConfig:
    if known.head_sha == head_sha:
        return known
    try:
        raw = await client.file(full_name, CONFIG_PATH, head_sha)
    except Rejected:  # a folder of that name, or a file that the API does not serve
        raw = None
    if raw is None:
        return StoredConfig(head_sha=head_sha)
    return StoredConfig(parse_config(raw), head_sha, True)


async def _read_organization(context: JobContext, holder: Repository | None, known: StoredConfig) -> StoredConfig:
    """Read the organization's file; an empty configuration if the installation does not include `holder`."""
    if holder is None:
        return StoredConfig()
    token = await context.parts.github.mint(context.installation_id, holder.repository_id, READ)
    client = context.parts.github.installation_client(context.installation_id, token)
    try:
        head_sha = await client.head(holder.full_name, holder.default_branch)
        return await _read(client, holder.full_name, head_sha, known) if head_sha else StoredConfig()
    except (NotFound, Forbidden) as error:  # gone or closed to us since, which jobs of its own handle
        log.info("no_organization_configuration", problem=type(error).__name__)
        return StoredConfig()


def _find_holder(memories: Iterable[RepositoryMemory], repository: Repository) -> Repository | None:
    """Return the repository that may hold the organization's file."""
    owner = repository.full_name.partition("/")[0]
    wanted = f"{owner}/{ORGANIZATION_REPOSITORY}".lower()
    return next((m.repository for m in memories if m.repository.full_name.lower() == wanted), None)


async def load_notes(connection: Connection, policy: Policy, repository: Repository) -> str:
    """Load the notes of a check run about the stored configuration, one per line; empty if all of it applies."""
    organization_row, repository_row = await load_configs(
        connection, repository.installation_id, repository.repository_id
    )
    organization, own = load_config(organization_row), load_config(repository_row)
    return "\n".join(config_notes(organization.parsed, own.parsed, effective_config(policy, organization, own)))


def changes_labels(effective: EffectiveConfig, measured_with: str) -> bool:
    """Return whether fixes or code are now selected otherwise than `measured_with`, so that a measurement is due."""
    return effective.overlay.config_hash != measured_with
