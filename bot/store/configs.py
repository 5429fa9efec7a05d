"""The configuration files of an organization and its repositories as last read, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import installations, repositories

Config = Mapping[str, Any] | None


async def load_configs(connection: AsyncConnection, installation_id: int, repository_id: int) -> tuple[Config, Config]:
    """Return the organization's and the repository's configuration; None for one that was never read."""
    of_organization = select(installations.c.config).where(installations.c.installation_id == installation_id)
    mine = repositories.c.installation_id == installation_id, repositories.c.repository_id == repository_id
    organization = (await connection.execute(of_organization)).scalar_one_or_none()
    repository = (await connection.execute(select(repositories.c.config).where(*mine))).scalar_one_or_none()
    return organization, repository


async def save_organization_config(
    connection: AsyncConnection, installation_id: int, config: Mapping[str, Any]
) -> None:
    mine = installations.c.installation_id == installation_id
    await connection.execute(update(installations).where(mine).values(config=dict(config)))


async def save_repository_config(
    connection: AsyncConnection, installation_id: int, repository_id: int, config: Mapping[str, Any]
) -> None:
    mine = repositories.c.installation_id == installation_id, repositories.c.repository_id == repository_id
    await connection.execute(update(repositories).where(*mine).values(config=dict(config)))
