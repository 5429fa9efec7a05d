"""The public face of the GitHub clients, in one import."""

from __future__ import annotations

from bot.github.app_client import AppDescription, GitHubApp, SentDelivery
from bot.github.endpoints import GitHubServer
from bot.github.installation_client import NO_ROLE, Comment, InstallationClient

__all__ = [
    "NO_ROLE",
    "AppDescription",
    "Comment",
    "GitHubApp",
    "GitHubServer",
    "InstallationClient",
    "SentDelivery",
]
