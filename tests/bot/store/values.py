"""Installations and repositories that tests store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.records import Installation, Repository

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
HEAD, NEXT = "a" * 40, "b" * 40


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def installation(installation_id: int = 1, **changes: Any) -> Installation:
    values: dict[str, Any] = {
        "installation_id": installation_id,
        "account_id": 100 + installation_id,
        "account_login": f"acme-{installation_id}",
        "account_type": "Organization",
        "state": "active",
        "permissions": {"checks": "write"},
    }
    return Installation(**values | changes)


def repository(repository_id: int = 7, installation_id: int = 1, **changes: Any) -> Repository:
    values: dict[str, Any] = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "full_name": f"acme-{installation_id}/shop-{repository_id}",
        "default_branch": "main",
        "private": False,
        "archived": False,
    }
    return Repository(**values | changes)
