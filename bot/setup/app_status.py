"""The App as GitHub knows it, fetched with its own key: does it exist, and is it set up as we need it?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.clock import Clock
from bot.github.app_client import AppDescription, GitHubApp, SentDelivery
from bot.github.endpoints import GitHubServer
from bot.github.errors import NotFound, Unavailable
from bot.records import AppCredentials

KEPT_FOR: Final = timedelta(days=3)  # by GitHub
MAX_DELIVERIES: Final = 50


@dataclass(frozen=True)
class AppStatus:
    """The App, its webhook address, empty if it has none, and what GitHub sent there, newest first."""

    app: AppDescription
    webhook_url: str
    deliveries: tuple[SentDelivery, ...] = ()


async def fetch_app_status(
    credentials: AppCredentials, server: GitHubServer, clock: Clock, timeout_s: float = 5.0
) -> AppStatus:
    """Fetch the App. Raises GitHubError: BadToken for a wrong id or key, Unavailable if GitHub cannot be reached."""
    github = GitHubApp(lambda: credentials, server, clock)
    try:
        async with asyncio.timeout(timeout_s):
            app, webhook_url = await github.app(), await github.webhook_url()
            deliveries = github.deliveries(clock.now() - KEPT_FOR)
            return AppStatus(app, webhook_url, await _first(deliveries) if webhook_url else ())
    except TimeoutError:
        raise Unavailable(f"no response from {server.api_url} within {timeout_s:.0f} s") from None
    finally:
        await github.close()


async def _first(deliveries: AsyncIterator[SentDelivery]) -> tuple[SentDelivery, ...]:
    found: list[SentDelivery] = []
    with contextlib.suppress(NotFound):  # an older server
        async for delivery in deliveries:
            found.append(delivery)
            if len(found) == MAX_DELIVERIES:
                break
    return tuple(found)
