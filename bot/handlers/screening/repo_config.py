"""Read `.github/assay.yml` of a repository and of its organization, at the commits that their branches are at.

The organization's stands in its repository `.github`, and is read with a token for that repository alone, where the
installation has it. What was read is remembered, so that commands and postings need not ask again; a commit that was
read before is not read again.
"""

from __future__ import annotations

from typing import Any, Final

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected
from bot.jobs.context import READ, JobContext, Policy
from bot.messages.screen_notes import config_notes
from bot.records import Repository
from bot.repo_config.effective import effective_config
from bot.repo_config.parse import CONFIG_PATH, parse_config
from bot.repo_config.precedence import EffectiveConfig
from bot.repo_config.stored import StoredConfig, dump_config, load_config
from bot.store.configs import load_configs, save_organization_config, save_repository_config
from bot.store.jobs import hold_lease, request_job
from bot.store.repositories import list_repositories

log = structlog.get_logger(__name__)

ORGANIZATION_REPOSITORY: Final = ".github"


async def read_configuration(
    context: JobContext, client: InstallationClient, repository: Repository, head_sha: str
) -> EffectiveConfig:
    """What applies at `head_sha`, the head of the default branch, read under `client`'s token; and remember it."""
    ids = context.installation_id, repository.repository_id
    async with context.parts.database.read() as connection:
        organization_row, repository_row = await load_configs(connection, *ids)
    known_organization, known = load_config(organization_row), load_config(repository_row)
    own = await _read(client, repository.full_name, head_sha, known)
    organization = await _read_organization(context, repository, known_organization)
    if own != known or organization != known_organization or repository_row is None or organization_row is None:
        shares_otherwise = (_wish(own), _wish(organization)) != (_wish(known), _wish(known_organization))
        async with context.parts.database.write() as connection:
            if shares_otherwise:  # before the lease: who recalibrates holds its own row and asks for jobs such as this
                await request_job(connection, context.installation_id, 0, "recalibrate", context.now())
            await hold_lease(connection, context.job)
            await save_repository_config(connection, *ids, dump_config(own))
            await save_organization_config(connection, context.installation_id, dump_config(organization))
    return effective_config(context.parts.policy, organization, own)


def _wish(stored: StoredConfig) -> bool | None:
    """What a file says of sharing outcomes with other installations."""
    return stored.parsed.config.share_outcomes


async def _read(client: InstallationClient, full_name: str, head_sha: str, known: StoredConfig) -> StoredConfig:
    if known.head_sha == head_sha:
        return known
    try:
        raw = await client.file(full_name, CONFIG_PATH, head_sha)
    except Rejected:  # a folder of that name, or a file that the API does not give
        raw = None
    if raw is None:
        return StoredConfig(head_sha=head_sha)
    return StoredConfig(parse_config(raw), head_sha, True)


async def _read_organization(context: JobContext, repository: Repository, known: StoredConfig) -> StoredConfig:
    """Nothing where the installation does not have the repository that would hold it."""
    holder = await _holder(context, repository)
    if holder is None:
        return StoredConfig()
    token = await context.parts.github.mint(context.installation_id, holder.repository_id, READ)
    client = context.parts.github.installation_client(context.installation_id, token)
    try:
        head_sha = await client.head(holder.full_name, holder.default_branch)
        return await _read(client, holder.full_name, head_sha, known) if head_sha else StoredConfig()
    except (NotFound, Forbidden) as problem:  # gone or closed to us since: its own jobs see to that
        log.info("no_organization_configuration", problem=type(problem).__name__)
        return StoredConfig()


async def _holder(context: JobContext, repository: Repository) -> Repository | None:
    owner = repository.full_name.partition("/")[0]
    wanted = f"{owner}/{ORGANIZATION_REPOSITORY}".lower()
    async with context.parts.database.read() as connection:
        memories = await list_repositories(connection, context.installation_id)
    return next((m.repository for m in memories if m.repository.full_name.lower() == wanted), None)


async def load_notes(connection: Any, policy: Policy, repository: Repository) -> str:
    """What a check run says of the configuration as it was read last, a line each; nothing where all of it applies."""
    organization_row, repository_row = await load_configs(
        connection, repository.installation_id, repository.repository_id
    )
    organization, own = load_config(organization_row), load_config(repository_row)
    return "\n".join(config_notes(organization.parsed, own.parsed, effective_config(policy, organization, own)))


def changes_labels(in_force: EffectiveConfig, measured_with: str) -> bool:
    """Whether to measure again: another configuration than `measured_with` decides what is a fix and what is code."""
    return in_force.overlay.config_hash != measured_with
