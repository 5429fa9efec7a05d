"""GraphQL client for an installation's token, or for a person's in `assay screen --github-token`.

A person's token comes from a file, from standard input (`-`) or from the environment, as with docker's
--password-stdin and gh's --with-token: an argument would be visible to everyone on the machine and stay in the shell's
history.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from githubkit.auth import TokenAuthStrategy

from bot.clock import Clock, SystemClock
from bot.github.credentials import read_secret
from bot.github.endpoints import GitHubServer
from bot.github.errors import RateLimited
from bot.github.evidence.graphql_errors import is_rate_limit
from bot.github.evidence.graphql_response import GraphQlResponse, parse_response
from bot.github.rate_limits import SECONDARY_WAIT, retry_at
from bot.github.request import GitHubSession
from pipeline.records import AssayError

TOKEN_VARIABLE: Final = "ASSAY_GITHUB_TOKEN"
MAX_TOKEN_CHARS: Final = 1_024
_REST_LIMIT_STATUS: Final = 403  # REST's status for a limit that GraphQL reports with 200
_LOOKS_LIKE_A_TOKEN = re.compile(r"(?:gh[a-z]_|github_pat_)\w{16,}|[0-9a-f]{40}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class GraphQlClient:
    """A QueryClient for one token. The session remembers which fields its GitHub does not have."""

    def __init__(self, session: GitHubSession, installation_id: int, token: str) -> None:
        self._session = session
        self._installation_id = installation_id
        self._client = session.client(TokenAuthStrategy(token))
        self.unknown_fields = session.unknown_fields

    def __repr__(self) -> str:
        return f"GraphQlClient(installation_id={self._installation_id})"

    async def __call__(self, query: str, variables: Mapping[str, object]) -> GraphQlResponse:
        """Send a query, which costs as much as a read. Raises GitHubError; partial errors are part of the response."""
        body = {"query": query, "variables": dict(variables)}
        raw = await self._session.query(self._client, body, installation_id=self._installation_id)
        response = parse_response(raw.body)
        limit = next((error for error in response.errors if is_rate_limit(error)), None)
        if limit is None:
            return response
        now = self._session.now()
        until = retry_at(_REST_LIMIT_STATUS, raw.headers, limit.message, now) or now + SECONDARY_WAIT
        raise RateLimited(limit.message or "GitHub's rate limit", until)


@contextlib.asynccontextmanager
async def evidence_for_token(
    server: GitHubServer, token: str, clock: Clock | None = None
) -> AsyncIterator[GraphQlClient]:
    """Yield a client for a person's token, over connections of its own that are closed at the end."""
    session = GitHubSession(server, clock or SystemClock(), lambda remaining, limit: None)
    try:
        yield GraphQlClient(session, 0, token)
    finally:
        await session.close()


def read_token(option: str | None, environment: str, standard_input: Callable[[], str]) -> str | None:
    """Read the token that `--github-token OPTION` names, else the environment's; None without either.

    `option` is a file, or `-` for standard input. Raises AssayError, which never quotes the token.
    """
    if option is None:
        return parse_token(environment, TOKEN_VARIABLE) if environment.strip() else None
    if option == "-":
        return parse_token(standard_input(), "standard input")
    if _LOOKS_LIKE_A_TOKEN.fullmatch(option):
        raise AssayError(
            "--github-token takes a file or -, not the token itself, which other users of this machine can see: "
            f"revoke this token, then set {TOKEN_VARIABLE} to a new one or pass a file"
        )
    return parse_token(read_secret(Path(option), "--github-token"), "the file of --github-token")


def parse_token(text: str, source: str) -> str:
    """Strip and check a token. Raises AssayError, which names `source` and never quotes the text."""
    token = text.strip()
    if not token:
        raise AssayError(f"{source} is empty: it should contain a GitHub token")
    if len(token) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
        raise AssayError(f"{source} does not contain a GitHub token: one line of letters, digits and underscores")
    return token
