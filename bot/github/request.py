"""One request and its answer: pace before, repeats and redirects between, problems told apart after."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
from githubkit.auth.base import BaseAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.core import GitHubCore
from githubkit.exception import GitHubException, RequestError
from githubkit.throttling import BaseThrottler, LocalThrottler
from pydantic import TypeAdapter, ValidationError

from bot.clock import Clock
from bot.github.endpoints import GitHubServer, graphql_url, redirected_path
from bot.github.errors import (
    BadToken,
    Elsewhere,
    Forbidden,
    GitHubProblem,
    Moved,
    NotFound,
    RateLimited,
    Rejected,
    Suspended,
    Unavailable,
)
from bot.github.rate_limits import READ_POINTS, WRITE_POINTS, PointsLimiter, retry_at
from bot.github.transport import TIMEOUT, BadAnswer, connect
from pipeline.reports.escape import inert

MOST_REPEATS = 2
MOST_REDIRECTS = 3
MOST_AT_ONCE = 20  # GitHub allows 100 of all processes together
LONGEST_PACE = timedelta(seconds=10)  # who has to wait longer for points is put off instead
WHOLE_REQUEST_S = 60.0  # however slowly an answer drips
LONGEST_MESSAGE = 160

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (502, 503, 504)
_NO_CONNECTION = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
JSON = "application/vnd.github+json"
_GRAPHQL_FEATURES = {"GraphQL-Features": "issue_types"}  # without it some servers hide the types of issues
T = TypeVar("T")
Json = Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    def parse(self, shape: type[T]) -> T:
        """The body as `shape`. Raises Unavailable where it is something else."""
        try:
            return TypeAdapter(shape).validate_json(self.body)
        except ValidationError:
            raise Unavailable("GitHub gave an answer that makes no sense: is there a proxy in between?") from None

    @property
    def message(self) -> str:
        """What GitHub says of a problem; empty where it says nothing."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        text = said.get("message") if isinstance(said, dict) else None
        return text if isinstance(text, str) else ""


@dataclass(frozen=True)
class _Request:
    speaker: Speaker
    method: str
    path: str
    query: Mapping[str, str | int] | None
    body: Json | None
    installation_id: int  # whose pace it counts for
    accept: str = JSON
    is_query: bool = False  # of GraphQL: a POST that only reads


class Speaker(GitHubCore[BaseAuthStrategy]):
    """githubkit's client without its judgement of answers, which fails on a Retry-After that is a date."""

    def _check_is_error(self, response: httpx.Response) -> bool:
        return False

    def _check_rate_limit(self, response: object) -> None:
        pass


class Exchange:
    """All requests to one GitHub go through one of these."""

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
        self._throttler: BaseThrottler = LocalThrottler(MOST_AT_ONCE)
        self.unknown_fields: set[str] = set()  # that this GitHub's GraphQL said it does not have

    def now(self) -> datetime:
        return self._clock.now()

    def speaker(self, auth: BaseAuthStrategy | None) -> Speaker:
        """A client of githubkit over our connections, with nothing of it that sleeps, caches or follows."""
        return Speaker(
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
        speaker: Speaker,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        installation_id: int = 0,
        accept: str = JSON,
    ) -> Answer:
        """Read; follow redirects on this host. Raises GitHubProblem."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._repeated(_Request(speaker, "GET", path, query, None, installation_id, accept))
            if answer.status not in _REDIRECTS:
                return answer
            path, query = redirected_path(self.server, path, answer.headers.get("location", "")), None
        raise Unavailable("GitHub redirects in circles")

    async def send(
        self,
        speaker: Speaker,
        method: str,
        path: str,
        body: Json | None,
        *,
        installation_id: int = 0,
        repeatable: bool = False,
    ) -> Answer:
        """Write, once unless doing it twice is the same as once. Raises GitHubProblem."""
        ask = self._repeated if repeatable else self._once
        answer = await ask(_Request(speaker, method, path, None, body, installation_id))
        if answer.status in _REDIRECTS:
            redirected_path(self.server, path, answer.headers.get("location", ""))
            raise Moved("what is to be written to has another name now")
        return answer

    async def query(self, speaker: Speaker, body: Json, *, installation_id: int = 0) -> Answer:
        """Ask GraphQL. Raises GitHubProblem.

        Repeated where no answer came, but not after a 502: that says that the query takes GitHub too long, and it
        would take as long again. Whoever asks makes it smaller.
        """
        path = graphql_url(self.server)
        answer = await self._repeated(
            _Request(speaker, "POST", path, None, body, installation_id, is_query=True), _NoConnection
        )
        if answer.status in _REDIRECTS:
            raise Elsewhere("GitHub's GraphQL redirects: check ASSAY_GITHUB_API_URL")
        return answer

    async def close(self) -> None:
        await self._transport.close()

    async def _repeated(self, request: _Request, kind: type[Unavailable] = Unavailable) -> Answer:
        """`kind`: which of the problems that often pass are worth another try."""
        for repeat in range(MOST_REPEATS):
            try:
                return await self._once(request)
            except _Passing as problem:
                if not isinstance(problem, kind):
                    raise
                await self._clock.sleep((repeat + 1) * (0.5 + self._jitter()))
        return await self._once(request)

    async def _once(self, request: _Request) -> Answer:
        is_read = request.method == "GET" or request.is_query
        await self._keep_pace(request.installation_id, READ_POINTS if is_read else WRITE_POINTS)
        headers = {"X-GitHub-Api-Version": self.server.api_version, "Accept": request.accept}
        if request.is_query:
            headers |= _GRAPHQL_FEATURES
        try:
            async with asyncio.timeout(WHOLE_REQUEST_S):
                said = await request.speaker.arequest(
                    request.method, request.path, params=request.query, json=request.body, headers=headers
                )
        except TimeoutError:
            raise Unavailable("GitHub took too long to answer") from None
        except RequestError as error:
            raise _no_answer(error.exc) from None
        except GitHubException as error:
            raise Unavailable(f"GitHub was not asked: {type(error).__name__}") from None
        answer = Answer(said.status_code, {name.lower(): value for name, value in said.headers.items()}, said.content)
        self._tell_budget(answer)
        problem = self._problem(answer, said.raw_request.headers.get("Authorization", "").partition(" ")[2])
        if problem:
            raise problem
        return answer

    async def _keep_pace(self, installation_id: int, points: int) -> None:
        now = self._clock.now()
        moment = self._limiter.next_request(installation_id, points, now)
        if moment - now > LONGEST_PACE:
            raise RateLimited("our own pace: 900 points a minute are spent", moment)
        self._limiter.spend(installation_id, points, moment)
        if moment > now:
            await self._clock.sleep((moment - now).total_seconds())

    def _tell_budget(self, answer: Answer) -> None:
        if answer.headers.get("x-ratelimit-resource") == "graphql":
            return  # a budget of its own, of which whoever asks keeps account
        figures = [answer.headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit")]
        if all(text.isascii() and text.isdigit() and len(text) < 12 for text in figures):
            self._budget_hook(int(figures[0]), int(figures[1]))

    def _problem(self, answer: Answer, secret: str) -> GitHubProblem | None:
        """What kind of problem an answer is; none where it is none. No message repeats the secret of the request."""
        status, message = answer.status, answer.message
        if status < 400:
            return None
        said = inert((message.replace(secret, "…") if secret else message), LONGEST_MESSAGE) or f"HTTP {status}"
        if status == 403 and "suspended" in message.lower():
            return Suspended(said)
        if until := retry_at(status, answer.headers, message, self._clock.now()):
            return RateLimited(said, until)
        if status >= 500:
            return (_Passing if status in _PASSING else Unavailable)(f"GitHub answers HTTP {status}")
        kinds: dict[int, type[GitHubProblem]] = {401: BadToken, 403: Forbidden, 404: NotFound, 410: NotFound}
        return kinds.get(status, Rejected)(said)


class _Passing(Unavailable):
    """Unavailable in a way that often passes within a second."""


class _NoConnection(_Passing):
    """Nothing was heard at all."""


def _no_answer(error: Any) -> GitHubProblem:
    """Says what kind of failure it was and none of its text, in which addresses and headers may stand."""
    if isinstance(error, BadAnswer):
        return Unavailable(f"GitHub cannot be read: {error}")
    if isinstance(error, httpx.ProxyError):
        return Unavailable("the proxy refuses to connect: check HTTPS_PROXY")
    if isinstance(error, _NO_CONNECTION):
        return _NoConnection("there is no connection to GitHub")
    if isinstance(error, httpx.TimeoutException):
        return Unavailable("GitHub took too long to answer")
    if isinstance(error, httpx.HTTPError):
        return Unavailable(f"GitHub cannot be asked: {type(error).__name__}")
    # what is left happened before anything was sent: the App's own token could not be signed
    return BadToken("the App's private key cannot be used: give the PEM file that GitHub made")
