"""Client for requests made as the App itself, with its private key: installations, deliveries, tokens."""

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
from bot.github.request import GitHubSession, RawClient, Response
from bot.github.responses import (
    MAX_PAGES,
    PAGE_SIZE,
    AppResponse,
    DeliveryResponse,
    HookConfigResponse,
    InstallationResponse,
    TokenResponse,
    has_next,
    next_cursor,
)
from bot.records import AppCredentials, Installation

_REPOSITORY_GONE = re.compile(r"repositor(y|ies)", re.IGNORECASE)
_NOT_GRANTED = re.compile(r"permission", re.IGNORECASE)


@dataclass(frozen=True)
class AppDescription:
    """The App as registered on GitHub."""

    app_id: int
    slug: str
    name: str
    html_url: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]


@dataclass(frozen=True)
class SentDelivery:
    """An entry of GitHub's delivery log. Redeliver by `id`; the receiver sees `guid`."""

    id: int
    guid: str
    event: str
    action: str
    delivered_at: datetime
    status_code: int  # 0 if there was no response
    redelivery: bool
    installation_id: int  # 0 if there is none
    repository_id: int


class GitHubApp:
    """Client for one App on one GitHub server. Close it after use."""

    def __init__(
        self,
        credentials: Callable[[], AppCredentials | None],
        server: GitHubServer,
        clock: Clock,
        budget_hook: Callable[[int, int], None] = lambda remaining, limit: None,
    ) -> None:
        """Call `credentials` before every request, as they may be set later; report (remaining, limit) to
        `budget_hook`."""
        self._credentials = credentials
        self._session = GitHubSession(server, clock, budget_hook)
        self._authenticated: tuple[AppCredentials, RawClient] | None = None

    def _authenticate(self) -> tuple[AppCredentials, RawClient]:
        """Return a client for the current credentials; githubkit renews its ten-minute JWT."""
        credentials = self._credentials()
        if credentials is None:
            raise Unavailable("the App is not registered yet: finish the setup")
        if self._authenticated is None or self._authenticated[0] != credentials:
            auth = AppAuthStrategy(credentials.app_id, credentials.private_key)
            self._authenticated = credentials, self._session.client(auth)
        return self._authenticated

    async def _get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, installation_id: int = 0
    ) -> Response:
        """Send a GET request, paced separately for each installation so that a busy one delays no other."""
        return await self._session.get(self._authenticate()[1], path, query, installation_id=installation_id)

    async def app(self) -> AppDescription:
        response = (await self._get("/app")).parse(AppResponse)
        return AppDescription(
            app_id=response.id,
            slug=response.slug,
            name=response.name,
            html_url=response.html_url,
            permissions=response.permissions,
            events=tuple(response.events),
        )

    async def webhook_url(self) -> str:
        """Fetch the address to which GitHub sends deliveries; empty if there is none."""
        return (await self._get("/app/hook/config")).parse(HookConfigResponse).url

    async def installation(self, installation_id: int) -> Installation:
        """Fetch an installation's account, permissions and state. Raises InstallationGone."""
        path = api_path("app", "installations", installation_id)
        try:
            response = await self._get(path, installation_id=installation_id)
        except NotFound:
            raise InstallationGone(f"installation {installation_id} does not exist") from None
        return response.parse(InstallationResponse).to_installation()

    async def installations(self) -> list[Installation]:
        """Fetch all installations. Raises Unavailable rather than return an incomplete list."""
        installations: dict[int, Installation] = {}
        for page in range(1, MAX_PAGES + 1):
            response = await self._get("/app/installations", {"per_page": PAGE_SIZE, "page": page})
            items = response.parse(list[InstallationResponse])
            installations.update((item.id, item.to_installation()) for item in items)
            if not has_next(response.headers, len(items)):
                return list(installations.values())
        raise Unavailable(f"there are more than {MAX_PAGES * PAGE_SIZE:,} installations")

    async def deliveries(self, since: datetime) -> AsyncIterator[SentDelivery]:
        """Yield deliveries sent at or after `since`, newest first; at most 50,000 of the three days GitHub keeps."""
        cursor = ""
        for _ in range(MAX_PAGES):
            query: dict[str, str | int] = {"per_page": PAGE_SIZE}
            if cursor:
                query["cursor"] = cursor
            response = await self._get("/app/hook/deliveries", query)
            for item in response.parse(list[DeliveryResponse]):
                if item.delivered_at_utc < since:
                    return
                yield _sent_delivery(item)
            cursor = next_cursor(response.headers)
            if not cursor:
                return

    async def redeliver(self, delivery_id: int) -> None:
        """Ask GitHub to send a delivery again, by its id (not its guid)."""
        path = api_path("app", "hook", "deliveries", delivery_id, "attempts")
        await self._session.send(self._authenticate()[1], "POST", path, None)

    async def mint(self, installation_id: int, repository_id: int | None, permissions: Mapping[str, str]) -> str:
        """Create a one-hour token with just these permissions, for one repository or, if None, for all.

        Raises InstallationGone, Suspended, NotFound if the repository has left the installation, and Forbidden if the
        installation lacks a permission.
        """
        body: dict[str, object] = {"permissions": dict(permissions)}
        if repository_id is not None:
            body["repository_ids"] = [repository_id]
        path = api_path("app", "installations", installation_id, "access_tokens")
        try:
            response = await self._session.send(
                self._authenticate()[1], "POST", path, body, installation_id=installation_id, idempotent=True
            )
        except NotFound:
            raise InstallationGone(f"installation {installation_id} does not exist") from None
        except Rejected as error:
            if _NOT_GRANTED.search(str(error)):
                raise Forbidden(f"not granted: {', '.join(f'{k} {v}' for k, v in permissions.items())}") from None
            if _REPOSITORY_GONE.search(str(error)):
                raise NotFound(f"the installation has no repository {repository_id}") from None
            raise
        return response.parse(TokenResponse).token

    def installation_client(self, installation_id: int, token: str) -> InstallationClient:
        """Return a client for a token from `mint`, over the same connections."""
        return InstallationClient(self._session, installation_id, token, self._authenticate()[0].app_id)

    def evidence_client(self, installation_id: int, token: str) -> GraphQlClient:
        """Return a GraphQL client for a token from `mint`, over the same connections."""
        return GraphQlClient(self._session, installation_id, token)

    async def close(self) -> None:
        await self._session.close()


def _sent_delivery(item: DeliveryResponse) -> SentDelivery:
    return SentDelivery(
        id=item.id,
        guid=item.guid,
        event=item.event,
        action=item.action or "",
        delivered_at=item.delivered_at_utc,
        status_code=item.status_code,
        redelivery=item.redelivery,
        installation_id=item.installation_id or 0,
        repository_id=item.repository_id or 0,
    )
