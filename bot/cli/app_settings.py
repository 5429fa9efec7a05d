"""Derive the App's credentials, GitHub endpoints and database URL from the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from bot.github.credentials import GivenCredentials, credentials_from, credentials_path, load_credentials
from bot.github.endpoints import GitHubServer
from bot.records import AppCredentials
from bot.settings import Settings

DATABASE_FILE = "assay.sqlite"


def given_credentials(settings: Settings) -> GivenCredentials:
    """Return the App's credentials from the environment, as far as they are set."""
    return GivenCredentials(
        app_id=settings.app_id,
        private_key=_shown(settings.private_key),
        private_key_file=settings.private_key_file,
        webhook_secret=_shown(settings.webhook_secret),
        webhook_secret_file=settings.webhook_secret_file,
        previous_webhook_secret=_shown(settings.previous_webhook_secret),
        client_id=settings.client_id,
        client_secret=_shown(settings.client_secret),
    )


def effective_credentials(settings: Settings) -> AppCredentials | None:
    """Return the credentials from the environment, else the stored ones; None if the App is not registered yet.

    Stored credentials are not read if the environment sets any. Raises AssayError if they are invalid.
    """
    given = given_credentials(settings)
    return credentials_from(given, None if given.any else load_credentials(settings.data_dir))


def source_of_credentials(settings: Settings) -> str:
    """Return where the effective credentials come from, for display."""
    return "the environment" if given_credentials(settings).any else str(credentials_path(settings.data_dir))


def github_server(settings: Settings) -> GitHubServer:
    """Return the GitHub endpoints of the settings."""
    return GitHubServer(settings.github_url, settings.api_url, settings.github_api_version, settings.ca_bundle)


def database_url(settings: Settings) -> str:
    """Return the operator's database URL, else that of a file in the data directory."""
    return _shown(settings.database_url) or f"sqlite:///{_database_file(settings.data_dir)}"


def _database_file(data_dir: Path) -> Path:
    return data_dir / DATABASE_FILE


def _shown(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
