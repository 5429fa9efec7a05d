"""What applies to a repository: the operator's policy, the organization's file and its own, as they were read last."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bot.repo_config.precedence import Ceiling, ConfigInForce, combine
from bot.repo_config.stored import StoredConfig, load_config
from bot.store.configs import load_configs

if TYPE_CHECKING:
    from bot.jobs.context import Policy


def ceiling_of(policy: Policy) -> Ceiling:
    return Ceiling(
        permission=policy.permission,
        finetune=bool(policy.base_models),
        base_models=tuple(policy.base_models),
        max_minutes=math.ceil(policy.finetune_minutes),
        quiet=policy.quiet,
        publish_ranking=policy.publish_ranking,
        share_outcomes=policy.calibration_scope == "server",
    )


def config_in_force(policy: Policy, organization: StoredConfig, repository: StoredConfig) -> ConfigInForce:
    return combine(ceiling_of(policy), organization.parsed.config, repository.parsed.config)


async def load_config_in_force(
    connection: Any, policy: Policy, installation_id: int, repository_id: int
) -> ConfigInForce:
    organization, repository = await load_configs(connection, installation_id, repository_id)
    return config_in_force(policy, load_config(organization), load_config(repository))
