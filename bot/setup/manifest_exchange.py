"""The last step of the manifest flow: exchange GitHub's code for the App's credentials and store them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.clock import Clock
from bot.github.credentials import credentials_path, parse_private_key, save_credentials
from bot.github.endpoints import GitHubServer, api_path
from bot.github.errors import GitHubError, NotFound, RateLimited, Rejected, Unavailable
from bot.github.request import GitHubSession
from bot.records import AppCredentials
from pipeline.records import AssayError

TIMEOUT_S = 20.0  # a person is waiting
RETRY_HINT = "open the setup page again and start over"
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")


class _ConversionResponse(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    id: Annotated[int, Field(gt=0)]
    slug: str = ""
    pem: str
    webhook_secret: str | None = None
    client_id: str = ""
    client_secret: str = ""


async def register(code: str, server: GitHubServer, clock: Clock, data_dir: Path) -> AppCredentials:
    """Exchange the code and store the credentials. Raises AssayError with one sentence that says what to do.

    A code works only once: if the credentials cannot be stored they are lost, and the sentence says so.
    """
    if credentials_path(data_dir).exists():
        raise AssayError("another App was stored in the meantime and is kept: delete the new one on GitHub")
    credentials = await convert(code, server, clock)
    try:
        await asyncio.to_thread(save_credentials, data_dir, credentials)
    except (OSError, AssayError) as error:
        why = (error.strerror or "the write failed") if isinstance(error, OSError) else str(error)
        raise AssayError(
            f"the App was registered, but its credentials could not be stored ({why}): "
            f"delete the App on GitHub, fix the problem, then {RETRY_HINT}"
        ) from None
    return credentials


async def convert(code: str, server: GitHubServer, clock: Clock) -> AppCredentials:
    """Exchange the code for the credentials of the App just registered. Raises AssayError."""
    if not _CODE.fullmatch(code):
        raise AssayError(f"GitHub sent no code: {RETRY_HINT}")
    session = GitHubSession(server, clock, lambda remaining, limit: None)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            path = api_path("app-manifests", code, "conversions")
            response = await session.send(session.client(None), "POST", path, {})
            return _credentials(response.parse(_ConversionResponse))
    except TimeoutError:
        raise AssayError(f"{server.api_url} took too long to respond: {RETRY_HINT}") from None
    except GitHubError as error:
        raise AssayError(f"{_explain(error, server)}: {RETRY_HINT}") from None
    finally:
        await session.close()


def _explain(error: GitHubError, server: GitHubServer) -> str:
    if isinstance(error, NotFound):
        return "GitHub does not know this code, which works only once and within an hour"
    if isinstance(error, Rejected):
        return "GitHub refuses this code, which works only once and within an hour"
    if isinstance(error, RateLimited):
        return f"GitHub's rate limit is used up until {error.until:%H:%M} UTC; wait until then"
    if isinstance(error, Unavailable):
        return f"{error} ({server.api_url})"
    return str(error)


def _credentials(converted: _ConversionResponse) -> AppCredentials:
    if not converted.webhook_secret:
        raise AssayError(
            "GitHub created no webhook secret for the App: set one on the App's page, generate a private key there, "
            "and store both with assay setup --import"
        )
    return AppCredentials(
        app_id=converted.id,
        private_key=parse_private_key(converted.pem, "the key in GitHub's response"),
        webhook_secrets=(converted.webhook_secret,),
        client_id=converted.client_id,
        client_secret=converted.client_secret,
        slug=converted.slug,
    )
