"""Facts under which a run would start; each field can be overridden."""

from __future__ import annotations

from typing import Any

from bot.commands.facts import Facts
from bot.records import Budget, Usage
from bot.repo_config.precedence import Ceiling, combine
from tests.bot.messages.screenings import HEAD, screened
from tests.builders.runs import AT

CONFIG = combine(Ceiling())
MODELS = ("ore/usual", "ore/large")
FULL = {"checks": "write", "contents": "read", "issues": "write", "metadata": "read"}
BUDGET = Budget(10, 500.0, 1, AT)


def facts(**changes: Any) -> Facts:
    usual: dict[str, Any] = {
        "now": AT,
        "full_name": "acme/shop",
        "config": CONFIG,
        "permissions": FULL,
        "models": MODELS,
        "head_sha": HEAD,
        "screening": screened(),
        "budget": BUDGET,
        "usage": Usage(20.0, 60.0),
        "server_usage": Usage(900.0, 100.0),
    }
    return Facts(**usual | changes)
