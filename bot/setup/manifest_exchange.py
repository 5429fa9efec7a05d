"""The last step of the manifest flow: a code that GitHub gave the browser becomes credentials, stored before use."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.clock import Clock
from bot.github.credentials import credentials_path, parse_private_key, save_credentials
from bot.github.endpoints import GitHubServer, api_path
from bot.github.errors import GitHubProblem, NotFound, RateLimited, Rejected, Unavailable
from bot.github.request import Exchange
from bot.records import AppCredentials
from pipeline.records import AssayError

TIMEOUT_S = 20.0  # a person waits for it
AGAIN = "open the setup page again and start over"
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")


class _Converted(BaseModel):
    """What we need of the answer."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: Annotated[int, Field(gt=0)]
    slug: str = ""
    pem: str
    webhook_secret: str | None = None
    client_id: str = ""
    client_secret: str = ""


async def register(code: str, server: GitHubServer, clock: Clock, data_dir: Path) -> AppCredentials:
    """Exchange the code and store what comes of it. Raises AssayError with one sentence a person can act on.

    The code is good once: where the credentials cannot be stored they are lost, and the sentence says so.
    """
    if credentials_path(data_dir).exists():
        raise AssayError("another App was stored meanwhile, and stays: delete the new one on GitHub")
    credentials = await convert(code, server, clock)
    try:
        await asyncio.to_thread(save_credentials, data_dir, credentials)
    except (OSError, AssayError) as error:
        why = (error.strerror or "it cannot be written") if isinstance(error, OSError) else str(error)
        raise AssayError(
            f"the App was registered, but its credentials could not be stored ({why}): "
            f"delete the App on GitHub, mend that, {AGAIN}"
        ) from None
    return credentials


async def convert(code: str, server: GitHubServer, clock: Clock) -> AppCredentials:
    """The credentials of the App that was just registered. Raises AssayError in words for whatever goes wrong."""
    if not _CODE.fullmatch(code):
        raise AssayError(f"GitHub's answer carries no code: {AGAIN}")
    exchange = Exchange(server, clock, lambda remaining, limit: None)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            path = api_path("app-manifests", code, "conversions")
            answer = await exchange.send(exchange.speaker(None), "POST", path, {})
            return _credentials(answer.parse(_Converted))
    except TimeoutError:
        raise AssayError(f"{server.api_url} took too long to answer: {AGAIN}") from None
    except GitHubProblem as problem:
        raise AssayError(f"{_words(problem, server)}: {AGAIN}") from None
    finally:
        await exchange.close()


def _words(problem: GitHubProblem, server: GitHubServer) -> str:
    """What went wrong, the likely cause first."""
    if isinstance(problem, NotFound):
        return "GitHub does not know this code, which is good once and for an hour"
    if isinstance(problem, Rejected):
        return "GitHub refuses this code, which is good once and for an hour"
    if isinstance(problem, RateLimited):
        return f"GitHub wants no more requests until {problem.until:%H:%M} UTC; wait for that"
    if isinstance(problem, Unavailable):
        return f"{problem} (asked {server.api_url})"
    return str(problem)


def _credentials(converted: _Converted) -> AppCredentials:
    if not converted.webhook_secret:
        raise AssayError(
            "GitHub made no webhook secret for the App: set one on its page, make a private key, "
            "and store both with assay setup --import"
        )
    return AppCredentials(
        app_id=converted.id,
        private_key=parse_private_key(converted.pem, "the key in GitHub's answer"),
        webhook_secrets=(converted.webhook_secret,),
        client_id=converted.client_id,
        client_secret=converted.client_secret,
        slug=converted.slug,
    )
