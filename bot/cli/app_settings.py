"""What the settings mean for the App, as the plain values that everything else takes."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from bot.github.credentials import GivenCredentials, credentials_from, credentials_path, load_credentials
from bot.github.endpoints import GitHubServer
from bot.records import AppCredentials
from bot.settings import Settings

DATABASE_FILE = "assay.sqlite"


def given_credentials(settings: Settings) -> GivenCredentials:
    """What the environment says of the App."""
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
    """The environment's, else the stored ones; None where the App is not registered yet. Raises AssayError.

    What is stored is not even looked at where the environment says something.
    """
    given = given_credentials(settings)
    return credentials_from(given, None if given.any else load_credentials(settings.data_dir))


def source_of_credentials(settings: Settings) -> str:
    """Where those in force come from, for people."""
    return "the environment" if given_credentials(settings).any else str(credentials_path(settings.data_dir))


def github_server(settings: Settings) -> GitHubServer:
    return GitHubServer(settings.github_url, settings.api_url, settings.github_api_version, settings.ca_bundle)


def database_url(settings: Settings) -> str:
    """The operator's, else a file in the data directory."""
    return _shown(settings.database_url) or f"sqlite:///{_database_file(settings.data_dir)}"


def _database_file(data_dir: Path) -> Path:
    return data_dir / DATABASE_FILE


def _shown(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
