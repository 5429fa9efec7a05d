"""Send one request to GitHub: pacing, retries, redirects, and failures mapped to errors."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from githubkit.auth.base import BaseAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.core import GitHubCore
from githubkit.exception import GitHubException, RequestError
from githubkit.throttling import BaseThrottler, LocalThrottler
from pydantic import TypeAdapter, ValidationError

from bot.clock import Clock
from bot.github.connection_failure import describe_failure
from bot.github.endpoints import GitHubServer, graphql_url, redirected_path
from bot.github.errors import (
    BadToken,
    Blocked,
    Deleted,
    Forbidden,
    ForeignRedirect,
    GitHubError,
    Moved,
    NotFound,
    RateLimited,
    Rejected,
    Suspended,
    Unavailable,
)
from bot.github.rate_limits import READ_POINTS, WRITE_POINTS, PointsLimiter, retry_at
from bot.github.transport import TIMEOUT, UnreadableResponse, connect, proxy_for
from pipeline.reports.escape import inert

MAX_RETRIES = 2
MAX_REDIRECTS = 3
MAX_CONCURRENT_REQUESTS = 20  # GitHub allows 100 across all processes
MAX_PACING_DELAY = timedelta(seconds=10)  # a longer wait is raised as RateLimited instead
REQUEST_TIMEOUT_S = 60.0  # in total, however slowly the response trickles in
MAX_MESSAGE_CHARS = 190

_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT_STATUSES = (502, 503, 504)
_CONNECTION_ERRORS = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout, httpx.ProxyError)
JSON = "application/vnd.github+json"
_GRAPHQL_FEATURES = {"GraphQL-Features": "issue_types"}  # some servers hide issue types without it
_INSTALLATION_SUSPENDED = re.compile(r"installation\b.{0,40}\bsuspended", re.IGNORECASE)  # not: the account is
_KINDS: dict[int, type[GitHubError]] = {401: BadToken, 403: Forbidden, 404: NotFound, 410: Deleted, 451: Blocked}
T = TypeVar("T")
Json = Mapping[str, object]


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    def parse(self, shape: type[T]) -> T:
        """Parse the body as `shape`. Raises Unavailable if it does not match."""
        try:
            return TypeAdapter(shape).validate_json(self.body)
        except ValidationError:
            raise Unavailable("GitHub sent an unexpected response: is there a proxy in between?") from None

    @property
    def message(self) -> str:
        """GitHub's error message, or an empty string."""
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        message = body.get("message") if isinstance(body, dict) else None
        return message if isinstance(message, str) else ""


@dataclass(frozen=True)
class _Request:
    client: RawClient
    method: str
    path: str
    query: Mapping[str, str | int] | None
    body: Json | None
    installation_id: int  # whose points it spends
    accept: str = JSON
    is_query: bool = False  # a GraphQL query: a POST that only reads


class RawClient(GitHubCore[BaseAuthStrategy]):
    """githubkit's client without its error handling, which crashes on a Retry-After that is a date."""

    def _check_is_error(self, response: httpx.Response) -> bool:
        return False

    def _check_rate_limit(self, response: object) -> None:
        pass


class GitHubSession:
    """Connections, pacing and retries shared by every client of one GitHub server."""

    def __init__(
        self,
        server: GitHubServer,
        clock: Clock,
        budget_hook: Callable[[int, int], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.server = server
        self._clock = clock
        self._budget_hook = budget_hook
        self._jitter = jitter
        self._transport = connect(server)
        self._limiter = PointsLimiter()
        self._throttler: BaseThrottler = LocalThrottler(MAX_CONCURRENT_REQUESTS)
        self.unknown_fields: set[str] = set()  # GraphQL fields that this server does not have

    def now(self) -> datetime:
        return self._clock.now()

    def client(self, auth: BaseAuthStrategy | None) -> RawClient:
        """Return a githubkit client over the shared connections, with its own retries, cache and redirects off."""
        return RawClient(
            auth,
            base_url=self.server.api_url,
            user_agent="assay",
            follow_redirects=False,
            timeout=TIMEOUT,
            trust_env=False,
            async_transport=self._transport,
            cache_strategy=MemCacheStrategy(),
            http_cache=False,
            throttler=self._throttler,
            auto_retry=False,
        )

    async def get(
        self,
        client: RawClient,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        installation_id: int = 0,
        accept: str = JSON,
    ) -> Response:
        """Send a GET request, following redirects on the same host. Raises GitHubError."""
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send_with_retries(
                _Request(client, "GET", path, query, None, installation_id, accept)
            )
            if response.status not in _REDIRECTS:
                return response
            path, query = redirected_path(self.server, path, response.headers.get("location", "")), None
        raise Unavailable("GitHub redirects in a loop")

    async def send(
        self,
        client: RawClient,
        method: str,
        path: str,
        body: Json | None,
        *,
        installation_id: int = 0,
        idempotent: bool = False,
    ) -> Response:
        """Send a write, retried only if `idempotent`. Raises GitHubError."""
        send = self._send_with_retries if idempotent else self._send_once
        response = await send(_Request(client, method, path, None, body, installation_id))
        if response.status in _REDIRECTS:
            redirected_path(self.server, path, response.headers.get("location", ""))
            raise Moved("the repository has been renamed")
        return response

    async def query(self, client: RawClient, body: Json, *, installation_id: int = 0) -> Response:
        """Send a GraphQL query. Raises GitHubError.

        Retried if no response arrived, but not after a 502: the query is too expensive for GitHub and would time out
        again, so the caller has to make it smaller.
        """
        path = graphql_url(self.server)
        response = await self._send_with_retries(
            _Request(client, "POST", path, None, body, installation_id, is_query=True), _ConnectionFailed
        )
        if response.status in _REDIRECTS:
            raise ForeignRedirect("GitHub's GraphQL endpoint redirects: check ASSAY_GITHUB_API_URL")
        return response

    async def close(self) -> None:
        await self._transport.close()

    async def _send_with_retries(
        self, request: _Request, retry_on: type[_TransientlyUnavailable] | None = None
    ) -> Response:
        for attempt in range(MAX_RETRIES):
            try:
                return await self._send_once(request)
            except _TransientlyUnavailable as error:
                if retry_on is not None and not isinstance(error, retry_on):
                    raise
                await self._clock.sleep((attempt + 1) * (0.5 + self._jitter()))
        return await self._send_once(request)

    async def _send_once(self, request: _Request) -> Response:
        is_read = request.method == "GET" or request.is_query
        await self._wait_for_points(request.installation_id, READ_POINTS if is_read else WRITE_POINTS)
        headers = {"X-GitHub-Api-Version": self.server.api_version, "Accept": request.accept}
        if request.is_query:
            headers |= _GRAPHQL_FEATURES
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                raw = await request.client.arequest(
                    request.method, request.path, params=request.query, json=request.body, headers=headers
                )
        except TimeoutError:
            raise Unavailable("GitHub took too long to respond") from None
        except RequestError as error:
            raise self._request_error(error.exc) from None
        except GitHubException as error:
            raise Unavailable(f"the request to GitHub failed: {type(error).__name__}") from None
        response = Response(raw.status_code, {name.lower(): value for name, value in raw.headers.items()}, raw.content)
        self._report_budget(response)
        failure = self._response_error(response, raw.raw_request.headers.get("Authorization", "").partition(" ")[2])
        if failure:
            raise failure
        return response

    async def _wait_for_points(self, installation_id: int, points: int) -> None:
        now = self._clock.now()
        moment = self._limiter.next_request(installation_id, points, now)
        if moment - now > MAX_PACING_DELAY:
            raise RateLimited("900 points a minute are used up", moment)
        self._limiter.spend(installation_id, points, moment)
        if moment > now:
            await self._clock.sleep((moment - now).total_seconds())

    def _report_budget(self, response: Response) -> None:
        if response.headers.get("x-ratelimit-resource") == "graphql":
            return  # GraphQL has a separate budget, which its caller tracks
        figures = [response.headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit")]
        if all(text.isascii() and text.isdigit() and len(text) < 12 for text in figures):
            self._budget_hook(int(figures[0]), int(figures[1]))

    def _request_error(self, error: Any) -> GitHubError:
        """Describe why a request failed without quoting httpx, whose messages may hold addresses and headers."""
        if isinstance(error, UnreadableResponse):
            return Unavailable(f"GitHub's response cannot be read: {error}")
        if isinstance(error, _CONNECTION_ERRORS):
            api_url = self.server.api_url
            what, may_pass = describe_failure(error, urlsplit(api_url).netloc, proxy_for(api_url) is not None)
            return _ConnectionFailed(what) if may_pass else Unavailable(what)
        if isinstance(error, httpx.TimeoutException):
            return Unavailable("GitHub took too long to respond")
        if isinstance(error, httpx.HTTPError):
            return Unavailable(f"the request to GitHub failed: {type(error).__name__}")
        # Anything else was raised before sending: the App's own token could not be signed.
        return BadToken("the App's private key is unusable: provide the PEM file that GitHub generated")

    def _response_error(self, response: Response, secret: str) -> GitHubError | None:
        """Return the error that a response stands for, or None. The request's secret is removed from its message."""
        status, message = response.status, response.message
        if status < 400:
            return None
        text = inert((message.replace(secret, "…") if secret else message), MAX_MESSAGE_CHARS) or f"HTTP {status}"
        if status == 403 and _INSTALLATION_SUSPENDED.search(message):
            return Suspended(text)
        if until := retry_at(status, response.headers, message, self._clock.now()):
            return RateLimited(text, until)
        if status >= 500:
            kind = _TransientlyUnavailable if status in _TRANSIENT_STATUSES else Unavailable
            return kind(f"GitHub returned HTTP {status}")
        return _KINDS.get(status, Rejected)(text)


class _TransientlyUnavailable(Unavailable):
    """A failure that often passes within a second."""


class _ConnectionFailed(_TransientlyUnavailable):
    """No response arrived."""
