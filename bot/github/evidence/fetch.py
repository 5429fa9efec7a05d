"""Issues and pull requests fetched: a page at a time, each kept before the next is asked for.

    1. load what is known, and how far that goes
    2. walk through the issues, then through the pull requests: from the cursor of a walk that was broken off, or from
       the time where the last one ended, or from the start
    3. a walk through pull requests of several pages is followed by another through what changed meanwhile: a pull
       request that moved to the front behind its back was not seen
    4. keep the whole

Whoever is put off by RateLimited, or dies, calls again: nothing but the page under way is asked for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bot.github.errors import NotFound, Rejected, Unavailable
from bot.github.evidence.evidence_facts import EvidenceFacts, FactStoreProtocol, Permission, Standing
from bot.github.evidence.graphql_errors import Refusal, judge
from bot.github.evidence.graphql_response import Ask, Page, parse_page, parse_spending
from bot.github.evidence.queries import ISSUE_TYPE, LARGEST_PAGE, Kind, Place, page_query, page_variables
from bot.github.evidence.rate_budget import SHARE, Budget
from bot.github.evidence.walks import UNREAD, Reach, advance, begin, update, without_cursor
from pipeline.mining.issue_links import IssueFact

SMALLEST_PAGE: Final = 6
GOOD_PAGES: Final = 8  # after so many in a row a larger page is tried again
MOST_ROUNDS: Final = 3  # of walks through pull requests
MOST_PAGES: Final = 100_000  # of one walk


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is known now, and what it took. `lacks` are the permissions without which the facts are incomplete."""

    facts: EvidenceFacts
    requests: int
    points: int
    lacks: tuple[Permission, ...]
    unreadable: int  # issues and pull requests that GitHub did not show


async def fetch_facts(
    ask: Ask,
    place: Place,
    store: FactStoreProtocol,
    *,
    since: datetime,
    now: Callable[[], datetime],
    share: float = SHARE,
) -> Fetched:
    """All issues and pull requests of a repository that changed at or after `since`, as GitHub has them now.

    Uses at most `share` of the points that are left when it begins. Raises RateLimited where that is used up (what was
    read is kept: call again after `until`), NotFound where the repository is not there or the name is another's now,
    Forbidden where a rule of the account stands against it, and the other GitHubProblems of `ask`.
    """
    known = await asyncio.to_thread(store.load)
    errand = _Errand(ask, place, store, known or EvidenceFacts(), now, share)
    return await errand.run(int(since.timestamp()))


class _Errand:
    """One fetch under way."""

    def __init__(
        self,
        ask: Ask,
        place: Place,
        store: FactStoreProtocol,
        known: EvidenceFacts,
        now: Callable[[], datetime],
        share: float,
    ) -> None:
        self._ask = ask
        self._place = place
        self._store = store
        self._now = now
        self._budget = Budget(share)
        self._lacks: set[Permission] = set()
        self._unreadable = 0
        self._size, self._good_pages = LARGEST_PAGE, 0
        self._facts: dict[int, IssueFact] = dict(known.facts)
        self._standing = known.standing
        if place.repository_id and known.standing.repository_id not in (0, place.repository_id):
            self._forget(place.repository_id)
        self._lacked = set(self._standing.lacks)  # when what is known was read

    async def run(self, since: int) -> Fetched:
        if await self._walk("issues", since) and "issues" in self._lacked:
            self._set_reach("pull_requests", UNREAD)  # which issues they close could not be seen then
            self._lacked.discard("issues")
        for round_ in range(MOST_ROUNDS):
            pages = await self._walk("pull_requests", since, again=round_ > 0)
            if pages <= 1:
                break
        kept, lacks = self._standing.lacks, tuple(sorted(self._lacks))
        self._standing = replace(self._standing, lacks=lacks)
        if lacks != kept:
            self._store.add((), self._standing)
        facts = EvidenceFacts(self._facts, self._standing)
        await asyncio.to_thread(self._store.settle, facts)
        return Fetched(facts, self._budget.requests, self._budget.points, lacks, self._unreadable)

    async def _walk(self, kind: Kind, since: int, *, again: bool = False) -> int:
        """How many pages it took, one that was broken off at least two; 0 where the list may not be read."""
        reach = self._standing.reach(kind)
        reach = update(reach) if again else begin(reach, since)
        for pages in range(2 if reach.cursor else 1, MOST_PAGES):
            page = await self._page(kind, reach)
            if page is None:
                return 0
            if self._is_anothers(page):
                reach = begin(UNREAD, since)
                continue
            if page.cursor and page.cursor == reach.cursor:
                raise Unavailable("GitHub's pages of issues and pull requests go in circles")
            reach = advance(page=page, kind=kind, reach=reach)
            self._keep(kind, reach, page)
            if not reach.cursor:
                return pages
        raise Unavailable(f"there are more than {MOST_PAGES:,} pages of issues and pull requests")

    def _is_anothers(self, page: Page) -> bool:
        """Forgets what was known of a repository that had this name before. Raises NotFound where we want the other."""
        if self._place.repository_id and page.repository_id != self._place.repository_id:
            raise NotFound("the repository's name is another repository's now")
        known = self._standing.repository_id
        if known in (0, page.repository_id):
            return False
        self._forget(page.repository_id)
        return True

    def _forget(self, repository_id: int) -> None:
        self._store.clear()
        self._facts, self._standing, self._lacked = {}, Standing(repository_id=repository_id), set()

    def _keep(self, kind: Kind, reach: Reach, page: Page) -> None:
        self._facts.update((fact.number, fact) for fact in page.facts)
        self._unreadable += page.unreadable
        self._standing = replace(
            self._standing,
            repository_id=page.repository_id,
            fetched_at=int(self._now().timestamp()),
            lacks=tuple(sorted(self._lacks | self._lacked)),
        )
        self._set_reach(kind, reach)
        self._store.add(page.facts, self._standing)

    def _set_reach(self, kind: Kind, reach: Reach) -> None:
        if kind == "issues":
            self._standing = replace(self._standing, issues=reach)
        else:
            self._standing = replace(self._standing, pull_requests=reach)

    async def _page(self, kind: Kind, reach: Reach) -> Page | None:
        """None where the list may not be read.

        GitHub breaks off what takes it more than ten seconds (a 502, or an error without a type): with half the page
        it does better, and after some good pages the size is doubled again.
        """
        while True:
            try:
                found = await self._asked(kind, reach)
            except Unavailable:
                if self._size <= SMALLEST_PAGE:
                    raise
                self._size, self._good_pages = max(SMALLEST_PAGE, self._size // 2), 0
                continue
            if isinstance(found, Reach):
                reach = found
                continue
            self._good_pages += 1
            if self._good_pages >= GOOD_PAGES:
                self._size, self._good_pages = min(LARGEST_PAGE, self._size * 2), 0
            return found

    async def _asked(self, kind: Kind, reach: Reach) -> Page | Reach | None:
        """A page; or None where it is refused; or from where to ask instead. Raises GitHubProblem."""
        self._budget.require(self._now())
        query = page_query(kind, self._ask.unknown_fields)
        since = datetime.fromtimestamp(reach.floor, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._budget.requests += 1
        reply = await self._ask(query, page_variables(kind, self._place, self._size, reach.cursor, since))
        self._budget.note(parse_spending(reply))
        verdict = judge(reply, kind, is_smallest=self._size <= SMALLEST_PAGE)
        self._lacks |= verdict.lacks
        match verdict.refusal:
            case Refusal.UNKNOWN_FIELD if ISSUE_TYPE not in self._ask.unknown_fields:
                self._ask.unknown_fields.add(ISSUE_TYPE)
                return reach
            case Refusal.BAD_CURSOR if reach.cursor:
                return without_cursor(reach, kind)
            case Refusal.LIST:
                return None
            case None:
                return parse_page(reply, are_pull_requests=kind == "pull_requests")
        raise Rejected("GitHub's GraphQL refuses a query that it should know")
