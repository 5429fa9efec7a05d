"""The effective configuration of a repository: the operator's policy and both files as they were last read."""

from __future__ import annotations

import math

from bot.policy import Policy
from bot.repo_config.precedence import Ceiling, EffectiveConfig, combine
from bot.repo_config.stored import StoredConfig, load_config
from bot.store.configs import load_configs
from bot.store.database import Connection


def ceiling_of(policy: Policy) -> Ceiling:
    """Return what an operator's policy allows at most."""
    return Ceiling(
        permission=policy.permission,
        finetune=bool(policy.base_models),
        base_models=tuple(policy.base_models),
        max_minutes=math.ceil(policy.finetune_minutes),
        quiet=policy.quiet,
        publish_ranking=policy.publish_ranking,
        share_outcomes=policy.calibration_scope == "server",
    )


def effective_config(policy: Policy, organization: StoredConfig, repository: StoredConfig) -> EffectiveConfig:
    """Combine the operator's policy with the files of the organization and the repository."""
    return combine(ceiling_of(policy), organization.parsed.config, repository.parsed.config)


async def load_effective_config(
    connection: Connection, policy: Policy, installation_id: int, repository_id: int
) -> EffectiveConfig:
    """Load both stored files and combine them with the operator's policy."""
    organization, repository = await load_configs(connection, installation_id, repository_id)
    return effective_config(policy, load_config(organization), load_config(repository))
