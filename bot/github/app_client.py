"""What is said as the App itself, under its private key: installations, deliveries, tokens."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from githubkit.auth import AppAuthStrategy

from bot.clock import Clock
from bot.github.endpoints import GitHubServer, api_path
from bot.github.errors import Forbidden, InstallationGone, NotFound, Rejected, Unavailable
from bot.github.evidence.graphql_client import GraphQlClient
from bot.github.installation_client import InstallationClient
from bot.github.paging import MOST_PAGES, PAGE_SIZE, has_next, next_cursor
from bot.github.request import Answer, Exchange, Speaker
from bot.github.responses import AppAnswer, DeliveryAnswer, InstallationAnswer, TokenAnswer
from bot.records import AppCredentials, Installation

_REPOSITORY_GONE = re.compile(r"repositor(y|ies)", re.IGNORECASE)
_NOT_GRANTED = re.compile(r"permission", re.IGNORECASE)


@dataclass(frozen=True)
class AppDescription:
    """The App as GitHub knows it."""

    app_id: int
    slug: str
    name: str
    html_url: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]


@dataclass(frozen=True)
class SentDelivery:
    """A delivery as GitHub remembers sending it. `id` is for asking again; `guid` is what the receiver sees."""

    id: int
    guid: str
    event: str
    action: str
    delivered_at: datetime
    status_code: int  # 0 where nobody answered
    redelivery: bool
    installation_id: int  # 0: none
    repository_id: int


class GitHubApp:
    """One App on one GitHub. Close it after use."""

    def __init__(
        self,
        credentials: Callable[[], AppCredentials | None],
        server: GitHubServer,
        clock: Clock,
        budget_hook: Callable[[int, int], None] = lambda remaining, limit: None,
    ) -> None:
        """`credentials` is asked each time, for they may come later; `budget_hook` hears (remaining, limit)."""
        self._credentials = credentials
        self._exchange = Exchange(server, clock, budget_hook)
        self._known: tuple[AppCredentials, Speaker] | None = None

    def _speaker(self) -> tuple[AppCredentials, Speaker]:
        """A client under the App's present key. githubkit signs a token of ten minutes where the last one is old."""
        credentials = self._credentials()
        if credentials is None:
            raise Unavailable("the App is not registered yet: finish the setup")
        if self._known is None or self._known[0] != credentials:
            auth = AppAuthStrategy(credentials.app_id, credentials.private_key)
            self._known = credentials, self._exchange.speaker(auth)
        return self._known

    async def _get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, installation_id: int = 0
    ) -> Answer:
        """Counts for the pace of an installation where it is about one: a busy one holds up no other."""
        return await self._exchange.get(self._speaker()[1], path, query, installation_id=installation_id)

    async def app(self) -> AppDescription:
        found = (await self._get("/app")).parse(AppAnswer)
        return AppDescription(
            app_id=found.id,
            slug=found.slug,
            name=found.name,
            html_url=found.html_url,
            permissions=found.permissions,
            events=tuple(found.events),
        )

    async def installation(self, installation_id: int) -> Installation:
        """Its account, permissions and whether it is suspended. Raises InstallationGone where there is none."""
        try:
            answer = await self._get(api_path("app", "installations", installation_id), installation_id=installation_id)
        except NotFound:
            raise InstallationGone(f"there is no installation {installation_id}") from None
        return answer.parse(InstallationAnswer).value()

    async def installations(self) -> list[Installation]:
        """All of them. Raises Unavailable rather than leaving some out."""
        found: dict[int, Installation] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = await self._get("/app/installations", {"per_page": PAGE_SIZE, "page": page})
            items = answer.parse(list[InstallationAnswer])
            found.update((item.id, item.value()) for item in items)
            if not has_next(answer.headers, len(items)):
                return list(found.values())
        raise Unavailable(f"there are more than {MOST_PAGES * PAGE_SIZE:,} installations")

    async def deliveries(self, since: datetime) -> AsyncIterator[SentDelivery]:
        """Those sent at or after `since`, newest first; at most 50,000, of the three days that GitHub keeps."""
        cursor = ""
        for _ in range(MOST_PAGES):
            query: dict[str, str | int] = {"per_page": PAGE_SIZE}
            if cursor:
                query["cursor"] = cursor
            answer = await self._get("/app/hook/deliveries", query)
            for item in answer.parse(list[DeliveryAnswer]):
                if item.moment < since:
                    return
                yield _sent(item)
            cursor = next_cursor(answer.headers)
            if not cursor:
                return

    async def redeliver(self, delivery_id: int) -> None:
        """Ask GitHub to send a delivery once more, by its id (not its guid)."""
        path = api_path("app", "hook", "deliveries", delivery_id, "attempts")
        await self._exchange.send(self._speaker()[1], "POST", path, None)

    async def mint(self, installation_id: int, repository_id: int | None, permissions: Mapping[str, str]) -> str:
        """A token of one hour for one repository (or, with none, for all) and these permissions alone.

        Raises InstallationGone, Suspended, NotFound where the repository is no longer in the installation, and
        Forbidden where the installation lacks a permission.
        """
        body: dict[str, object] = {"permissions": dict(permissions)}
        if repository_id is not None:
            body["repository_ids"] = [repository_id]
        path = api_path("app", "installations", installation_id, "access_tokens")
        try:
            answer = await self._exchange.send(
                self._speaker()[1], "POST", path, body, installation_id=installation_id, repeatable=True
            )
        except NotFound:
            raise InstallationGone(f"there is no installation {installation_id}") from None
        except Rejected as problem:
            if _NOT_GRANTED.search(str(problem)):
                raise Forbidden(f"not granted: {', '.join(f'{k} {v}' for k, v in permissions.items())}") from None
            if _REPOSITORY_GONE.search(str(problem)):
                raise NotFound(f"the installation has no repository {repository_id}") from None
            raise
        return answer.parse(TokenAnswer).token

    def installation_client(self, installation_id: int, token: str) -> InstallationClient:
        """Speaks under a token of `mint`, over the same connections."""
        return InstallationClient(self._exchange, installation_id, token, self._speaker()[0].app_id)

    def evidence_client(self, installation_id: int, token: str) -> GraphQlClient:
        """Asks GraphQL under a token of `mint`, over the same connections."""
        return GraphQlClient(self._exchange, installation_id, token)

    async def close(self) -> None:
        await self._exchange.close()


def _sent(item: DeliveryAnswer) -> SentDelivery:
    return SentDelivery(
        id=item.id,
        guid=item.guid,
        event=item.event,
        action=item.action or "",
        delivered_at=item.moment,
        status_code=item.status_code,
        redelivery=item.redelivery,
        installation_id=item.installation_id or 0,
        repository_id=item.repository_id or 0,
    )
