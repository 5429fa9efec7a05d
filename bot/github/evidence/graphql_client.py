"""GraphQL asked under a token: an installation's, or a person's for `assay screen --github-token`.

A person's token is named by a file, by `-` for standard input, or by the environment, as docker's --password-stdin and
gh's --with-token have it: an argument can be read by everybody on the machine, and stays in the shell's history.
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
from bot.github.evidence.graphql_response import Reply, parse_reply
from bot.github.rate_limits import SECONDARY_WAIT, retry_at
from bot.github.request import Exchange
from pipeline.records import AssayError

TOKEN_VARIABLE: Final = "ASSAY_GITHUB_TOKEN"
LONGEST_TOKEN: Final = 1_024
_REFUSED_AS_SO_MANY: Final = 403  # GraphQL says with 200 what REST says with this
_LOOKS_LIKE_A_TOKEN = re.compile(r"(?:gh[a-z]_|github_pat_)\w{16,}|[0-9a-f]{40}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class GraphQlClient:
    """An `Ask` for one token. What its GitHub does not have is remembered for as long as the exchange lives."""

    def __init__(self, exchange: Exchange, installation_id: int, token: str) -> None:
        self._exchange = exchange
        self._installation_id = installation_id
        self._speaker = exchange.speaker(TokenAuthStrategy(token))
        self.unknown_fields = exchange.unknown_fields

    def __repr__(self) -> str:
        return f"GraphQlClient(installation_id={self._installation_id})"

    async def __call__(self, query: str, variables: Mapping[str, object]) -> Reply:
        """One query, which only reads: a point of our pace. Raises GitHubProblem; errors beside data are returned."""
        body = {"query": query, "variables": dict(variables)}
        answer = await self._exchange.query(self._speaker, body, installation_id=self._installation_id)
        reply = parse_reply(answer.body)
        limit = next((trouble for trouble in reply.troubles if is_rate_limit(trouble)), None)
        if limit is None:
            return reply
        now = self._exchange.now()
        until = retry_at(_REFUSED_AS_SO_MANY, answer.headers, limit.message, now) or now + SECONDARY_WAIT
        raise RateLimited(limit.message or "GitHub's rate limit", until)


@contextlib.asynccontextmanager
async def evidence_for_token(
    server: GitHubServer, token: str, clock: Clock | None = None
) -> AsyncIterator[GraphQlClient]:
    """A client for a person's token, over connections of its own that are closed at the end."""
    exchange = Exchange(server, clock or SystemClock(), lambda remaining, limit: None)
    try:
        yield GraphQlClient(exchange, 0, token)
    finally:
        await exchange.close()


def read_token(option: str | None, environment: str, standard_input: Callable[[], str]) -> str | None:
    """The token that `--github-token OPTION` leads to, else the one of the environment; None without either.

    `option` is a file, or `-` for standard input. Raises AssayError, which repeats nothing of the token.
    """
    if option is None:
        return parse_token(environment, TOKEN_VARIABLE) if environment.strip() else None
    if option == "-":
        return parse_token(standard_input(), "standard input")
    if _LOOKS_LIKE_A_TOKEN.fullmatch(option):
        raise AssayError(
            "--github-token takes a file or -, not the token itself, which everybody on this machine could read: "
            f"make a new one, for this one may be known now, and set {TOKEN_VARIABLE} or give a file"
        )
    return parse_token(read_secret(Path(option), "--github-token"), "the file of --github-token")


def parse_token(text: str, said_by: str) -> str:
    """Raises AssayError, naming `said_by` and nothing of the text, for what cannot be a token."""
    token = text.strip()
    if not token:
        raise AssayError(f"{said_by} is empty: it should hold a GitHub token")
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise AssayError(f"{said_by} holds no GitHub token: that is one line of letters, digits and underscores")
    return token
