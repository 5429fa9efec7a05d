"""Fetch a repository's issues and pull requests page by page, storing each page before requesting the next.

    1. load what is known and how far it goes
    2. walk the issues, then the pull requests: from the cursor of an interrupted walk, from the time at which the
       last one ended, or from the start
    3. after a walk of several pages through pull requests, walk again through what changed meanwhile: a pull request
       that moved to the front during the walk was missed
    4. compact the stored pages

After RateLimited or a crash, call again: only the page that was in progress is requested twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bot.github.errors import NotFound, Rejected, Unavailable
from bot.github.evidence.evidence_facts import EvidenceFacts, FactStore, FetchState, Permission
from bot.github.evidence.graphql_errors import Refusal, classify_response
from bot.github.evidence.graphql_response import Page, QueryClient, parse_cost, parse_page
from bot.github.evidence.queries import ISSUE_TYPE, MAX_PAGE_SIZE, Kind, RepositoryRef, page_query, page_variables
from bot.github.evidence.rate_budget import SHARE, Budget
from bot.github.evidence.walks import UNREAD, WalkState, advance, begin, update, without_cursor
from pipeline.mining.issue_links import IssueFact

MIN_PAGE_SIZE: Final = 6
PAGES_BEFORE_GROWTH: Final = 8  # successful pages in a row before a larger page is tried
MAX_ROUNDS: Final = 3  # walks through pull requests
MAX_PAGES: Final = 100_000  # per walk


@dataclass(frozen=True, slots=True)
class FetchResult:
    """All known facts, and what the fetch cost. Without the permissions in `lacks`, the facts are incomplete."""

    facts: EvidenceFacts
    requests: int
    points: int
    lacks: tuple[Permission, ...]
    unreadable: int  # issues and pull requests that GitHub did not show


async def fetch_facts(
    client: QueryClient,
    repository: RepositoryRef,
    store: FactStore,
    *,
    since: datetime,
    now: Callable[[], datetime],
    share: float = SHARE,
) -> FetchResult:
    """Fetch all issues and pull requests of a repository that changed at or after `since`.

    Uses at most `share` of the rate-limit points left at the start. Raises RateLimited once they are used up (the
    pages so far are stored: call again after `until`), NotFound if the repository is missing or its name belongs to
    another one now, Forbidden if an account policy denies access, and the other GitHubErrors of `client`.
    """
    known = await asyncio.to_thread(store.load)
    fetch = _Fetch(client, repository, store, known or EvidenceFacts(), now, share)
    return await fetch.run(int(since.timestamp()))


class _Fetch:
    """A fetch in progress."""

    def __init__(
        self,
        client: QueryClient,
        repository: RepositoryRef,
        store: FactStore,
        known: EvidenceFacts,
        now: Callable[[], datetime],
        share: float,
    ) -> None:
        self._client = client
        self._repository = repository
        self._store = store
        self._now = now
        self._budget = Budget(share)
        self._lacks: set[Permission] = set()
        self._unreadable = 0
        self._page_size, self._good_pages = MAX_PAGE_SIZE, 0
        self._facts: dict[int, IssueFact] = dict(known.facts)
        self._state = known.state
        if repository.repository_id and known.state.repository_id not in (0, repository.repository_id):
            self._reset(repository.repository_id)
        self._lacked = set(self._state.lacks)  # when the known facts were read

    async def run(self, since: int) -> FetchResult:
        if await self._walk("issues", since) and "issues" in self._lacked:
            self._set_walk("pull_requests", UNREAD)  # the issues that they close were hidden until now
            self._lacked.discard("issues")
        for round_ in range(MAX_ROUNDS):
            pages = await self._walk("pull_requests", since, is_repeat=round_ > 0)
            if pages <= 1:
                break
        stored, lacks = self._state.lacks, tuple(sorted(self._lacks))
        self._state = replace(self._state, lacks=lacks)
        if lacks != stored:
            self._store.add((), self._state)
        facts = EvidenceFacts(self._facts, self._state)
        await asyncio.to_thread(self._store.compact, facts)
        return FetchResult(facts, self._budget.requests, self._budget.points, lacks, self._unreadable)

    async def _walk(self, kind: Kind, since: int, *, is_repeat: bool = False) -> int:
        """Walk one list and return its number of pages: at least two for a resumed walk, 0 if access is denied."""
        walk = self._state.walk(kind)
        walk = update(walk) if is_repeat else begin(walk, since)
        for pages in range(2 if walk.cursor else 1, MAX_PAGES):
            page = await self._fetch_page(kind, walk)
            if page is None:
                return 0
            if self._reset_if_replaced(page):
                walk = begin(UNREAD, since)
                continue
            if page.cursor and page.cursor == walk.cursor:
                raise Unavailable("GitHub keeps returning the same page of issues or pull requests")
            walk = advance(walk, kind, page)
            self._store_page(kind, walk, page)
            if not walk.cursor:
                return pages
        raise Unavailable(f"there are more than {MAX_PAGES:,} pages of issues and pull requests")

    def _reset_if_replaced(self, page: Page) -> bool:
        """Drop facts about a repository that had this name before. Raises NotFound if that is the requested one."""
        if self._repository.repository_id and page.repository_id != self._repository.repository_id:
            raise NotFound("the repository's name now belongs to another repository")
        known = self._state.repository_id
        if known in (0, page.repository_id):
            return False
        self._reset(page.repository_id)
        return True

    def _reset(self, repository_id: int) -> None:
        self._store.clear()
        self._facts, self._state, self._lacked = {}, FetchState(repository_id=repository_id), set()

    def _store_page(self, kind: Kind, walk: WalkState, page: Page) -> None:
        self._facts.update((fact.number, fact) for fact in page.facts)
        self._unreadable += page.unreadable
        self._state = replace(
            self._state,
            repository_id=page.repository_id,
            fetched_at=int(self._now().timestamp()),
            lacks=tuple(sorted(self._lacks | self._lacked)),
        )
        self._set_walk(kind, walk)
        self._store.add(page.facts, self._state)

    def _set_walk(self, kind: Kind, walk: WalkState) -> None:
        if kind == "issues":
            self._state = replace(self._state, issues=walk)
        else:
            self._state = replace(self._state, pull_requests=walk)

    async def _fetch_page(self, kind: Kind, walk: WalkState) -> Page | None:
        """Fetch a page; None if access to the list is denied.

        GitHub aborts queries that take it more than ten seconds (a 502, or an error without a type): halve the page
        size then, and double it again after some successful pages.
        """
        while True:
            try:
                reply = await self._query(kind, walk)
            except Unavailable:
                if self._page_size <= MIN_PAGE_SIZE:
                    raise
                self._page_size, self._good_pages = max(MIN_PAGE_SIZE, self._page_size // 2), 0
                continue
            if isinstance(reply, WalkState):
                walk = reply
                continue
            self._good_pages += 1
            if self._good_pages >= PAGES_BEFORE_GROWTH:
                self._page_size, self._good_pages = min(MAX_PAGE_SIZE, self._page_size * 2), 0
            return reply

    async def _query(self, kind: Kind, walk: WalkState) -> Page | WalkState | None:
        """Send one query. Return a page, None if access is denied, or the state to retry from. Raises GitHubError."""
        self._budget.require(self._now())
        query = page_query(kind, self._client.unknown_fields)
        since = datetime.fromtimestamp(walk.floor, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        variables = page_variables(kind, self._repository, self._page_size, walk.cursor, since)
        self._budget.requests += 1
        response = await self._client(query, variables)
        self._budget.record(parse_cost(response))
        classified = classify_response(response, kind, is_min_size=self._page_size <= MIN_PAGE_SIZE)
        self._lacks |= classified.lacks
        match classified.refusal:
            case Refusal.UNKNOWN_FIELD if ISSUE_TYPE not in self._client.unknown_fields:
                self._client.unknown_fields.add(ISSUE_TYPE)
                return walk
            case Refusal.BAD_CURSOR if walk.cursor:
                return without_cursor(walk, kind)
            case Refusal.LIST:
                return None
            case None:
                return parse_page(response, are_pull_requests=kind == "pull_requests")
        raise Rejected("GitHub's GraphQL refused a query that it should support")
