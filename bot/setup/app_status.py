"""The App as GitHub knows it, fetched with its own key: does it exist, and is it set up as we need it?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from githubkit.auth import AppAuthStrategy
from pydantic import BaseModel

from bot.clock import Clock
from bot.github.app_client import AppDescription, describe_app
from bot.github.endpoints import GitHubServer
from bot.github.errors import Unavailable
from bot.github.request import GitHubSession
from bot.github.responses import AppResponse
from bot.records import AppCredentials


class _HookResponse(BaseModel):
    url: str = ""


@dataclass(frozen=True)
class AppStatus:
    """The App and its webhook address, empty if it has none."""

    app: AppDescription
    webhook_url: str


async def fetch_app_status(
    credentials: AppCredentials, server: GitHubServer, clock: Clock, timeout_s: float = 5.0
) -> AppStatus:
    """Fetch the App. Raises GitHubError: BadToken for a wrong id or key, Unavailable if GitHub cannot be reached."""
    session = GitHubSession(server, clock, lambda remaining, limit: None)
    try:
        async with asyncio.timeout(timeout_s):
            client = session.client(AppAuthStrategy(credentials.app_id, credentials.private_key))
            app = (await session.get(client, "/app")).parse(AppResponse)
            hook = (await session.get(client, "/app/hook/config")).parse(_HookResponse)
    except TimeoutError:
        raise Unavailable(f"no response from {server.api_url} within {timeout_s:.0f} s") from None
    finally:
        await session.close()
    return AppStatus(describe_app(app), hook.url)
