"""The App as GitHub knows it, fetched with its own key: does it exist, and is it set up as we need it?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.clock import Clock
from bot.github.app_client import AppDescription, GitHubApp
from bot.github.endpoints import GitHubServer
from bot.github.errors import Unavailable
from bot.records import AppCredentials


@dataclass(frozen=True)
class AppStatus:
    """The App and its webhook address, empty if it has none."""

    app: AppDescription
    webhook_url: str


async def fetch_app_status(
    credentials: AppCredentials, server: GitHubServer, clock: Clock, timeout_s: float = 5.0
) -> AppStatus:
    """Fetch the App. Raises GitHubError: BadToken for a wrong id or key, Unavailable if GitHub cannot be reached."""
    github = GitHubApp(lambda: credentials, server, clock)
    try:
        async with asyncio.timeout(timeout_s):
            return AppStatus(await github.app(), await github.webhook_url())
    except TimeoutError:
        raise Unavailable(f"no response from {server.api_url} within {timeout_s:.0f} s") from None
    finally:
        await github.close()
