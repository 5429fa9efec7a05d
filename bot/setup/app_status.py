"""What GitHub knows of the App, asked with the App's own key: is it ours, and is it as we need it?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from githubkit.auth import AppAuthStrategy
from pydantic import BaseModel

from bot.clock import Clock
from bot.github.app_client import AppDescription
from bot.github.endpoints import GitHubServer
from bot.github.errors import Unavailable
from bot.github.request import Exchange
from bot.github.responses import AppAnswer
from bot.records import AppCredentials


class _Hook(BaseModel):
    url: str = ""


@dataclass(frozen=True)
class RegisteredApp:
    """The App, and where its deliveries go; empty where they go nowhere."""

    app: AppDescription
    webhook_url: str


async def ask_about_app(
    credentials: AppCredentials, server: GitHubServer, clock: Clock, timeout_s: float = 5.0
) -> RegisteredApp:
    """Raises GitHubProblem: BadToken where the id or the key is wrong, Unavailable where GitHub is not reached."""
    exchange = Exchange(server, clock, lambda remaining, limit: None)
    try:
        async with asyncio.timeout(timeout_s):
            speaker = exchange.speaker(AppAuthStrategy(credentials.app_id, credentials.private_key))
            found = (await exchange.get(speaker, "/app")).parse(AppAnswer)
            hook = (await exchange.get(speaker, "/app/hook/config")).parse(_Hook)
    except TimeoutError:
        raise Unavailable(f"no answer from {server.api_url} within {timeout_s:.0f} s") from None
    finally:
        await exchange.close()
    return RegisteredApp(
        AppDescription(
            app_id=found.id,
            slug=found.slug,
            name=found.name,
            html_url=found.html_url,
            permissions=found.permissions,
            events=tuple(found.events),
        ),
        hook.url,
    )
