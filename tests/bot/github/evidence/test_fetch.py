"""The fetch against a fake GraphQL: what is requested, how often, and which facts result."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.errors import Forbidden, NotFound, RateLimited, Rejected, Unavailable
from bot.github.evidence.evidence_facts import FactStore
from bot.github.evidence.fact_file import FactFile
from bot.github.evidence.fetch import FetchResult, fetch_facts
from bot.github.evidence.graphql_response import GraphQlError, GraphQlResponse
from bot.github.evidence.queries import RepositoryRef, page_query
from tests.bot.github.evidence.counting import (
    LONG_AGO,
    NOW,
    REPOSITORY_ID,
    Asked,
    CountingGitHub,
    Item,
    Memory,
    graphql_error,
    query_words,
)
from tests.rows import each_row

START = int(datetime(2026, 1, 1, tzinfo=NOW.tzinfo).timestamp())
PLACE = RepositoryRef("acme", "shop", REPOSITORY_ID)


def items(count: int, first: int = 1, *, start: int = START, **more: Any) -> list[Item]:
    """Create items that change a minute apart."""
    return [Item(first + index, start + 60 * index, **more) for index in range(count)]


def fetch(
    github: CountingGitHub,
    store: FactStore,
    since: datetime = LONG_AGO,
    place: RepositoryRef = PLACE,
    share: float = 0.5,
) -> FetchResult:
    return asyncio.run(fetch_facts(github, place, store, since=since, now=lambda: github.now, share=share))


def numbers(found: FetchResult) -> set[int]:
    return set(found.facts.facts)


class TestPages:
    def test_everything_is_fetched_in_pages_of_100(self) -> None:
        github = CountingGitHub(items(250), items(120, 1_000, commit="ab" * 20, closes=(7,)))
        found = fetch(github, Memory())
        assert numbers(found) == {*range(1, 251), *range(1_000, 1_120)}
        assert [asked.kind for asked in github.asked] == ["issues"] * 3 + ["pull_requests"] * 3
        assert found.requests == 6
        assert found.points == 3 + 3 * 2  # two pages of pull requests, and one through what changed meanwhile
        assert found.facts.is_complete
        fact = found.facts.facts[1_000]
        assert (fact.is_pull_request, fact.state, fact.merge_commit, fact.closes) == (
            True,
            "merged",
            b"\xab" * 20,
            (7,),
        )

    def test_an_empty_repository_takes_two_requests(self) -> None:
        github = CountingGitHub()
        found = fetch(github, Memory())
        assert (found.requests, numbers(found), found.facts.is_complete) == (2, set(), True)

    def test_an_update_without_changes_takes_two_requests(self) -> None:
        github, store = CountingGitHub(items(1_000), items(500, 2_000)), Memory()
        fetch(github, store)
        assert fetch(github, store).requests == 2

    def test_an_update_fetches_changed_and_new_items(self) -> None:
        github, store = CountingGitHub(items(300), items(300, 1_000)), Memory()
        fetch(github, store)
        later = START + 400 * 60
        github.touch("issues", 5, later, labels=("bug",))
        github.pull_requests.append(Item(5_000, later))
        found = fetch(github, store)
        assert found.requests == 2
        assert found.facts.facts[5].labels == ("bug",)
        assert 5_000 in numbers(found)

    def test_changes_before_since_are_not_requested(self) -> None:
        github = CountingGitHub(items(500), items(500, 1_000))
        since = datetime.fromtimestamp(START + 450 * 60, NOW.tzinfo) + timedelta(days=30)  # less the margin
        found = fetch(github, Memory(), since)
        assert {number for number in numbers(found) if number < 1_000} == set(range(451, 501))
        assert [asked.kind for asked in github.asked] == ["issues", "pull_requests"]

    def test_an_earlier_since_beyond_the_margin_costs_another_walk(self) -> None:
        github, store = CountingGitHub(items(500), []), Memory()
        since = datetime.fromtimestamp(START + 450 * 60, NOW.tzinfo) + timedelta(days=30)
        fetch(github, store, since)
        assert fetch(github, store, since - timedelta(minutes=10)).requests == 2
        found = fetch(github, store, LONG_AGO)
        assert found.requests == 6
        assert numbers(found) == set(range(1, 501))

    def test_a_later_since_is_an_update(self) -> None:
        github, store = CountingGitHub(items(300), []), Memory()
        fetch(github, store)
        assert fetch(github, store, NOW).requests == 2


class TestScale:
    def test_sixty_thousand_items_take_under_900_requests_and_10_to_update(self, tmp_path: Path) -> None:
        labels = ("bug", "area: storage", "priority: high")
        github = CountingGitHub(items(40_000, labels=labels), items(20_000, 100_000, commit="5f" * 20))
        path = tmp_path / "evidence.assay"
        first = fetch(github, FactFile(path))
        assert len(first.facts.facts) == 60_000
        assert first.requests == 400 + 200 + 1
        assert first.points == 400 + 2 * 201
        for at, item in enumerate((*github.issues[:250], *github.pull_requests[:150])):
            item.updated_at = START + 40_001 * 60 + 5 * at
        github.forget_order()
        assert fetch(github, FactFile(path)).requests == 3 + 2 + 1
        assert fetch(github, FactFile(path)).requests == 2


class TestRestarts:
    @each_row("at", range(1, 9))
    def test_a_restart_repeats_only_the_page_in_progress(self, tmp_path: Path, at: int) -> None:
        """Crash while a response is on its way: the page was requested but not stored."""
        whole = CountingGitHub(items(350), items(250, 1_000))
        expected = fetch(whole, Memory())
        assert [asked.kind for asked in whole.asked] == ["issues"] * 4 + ["pull_requests"] * 4
        github = CountingGitHub(items(350), items(250, 1_000))

        def die(asked: Asked) -> None:
            if len(github.asked) == at:
                raise KeyboardInterrupt

        github.before = die
        with pytest.raises(KeyboardInterrupt):
            fetch(github, FactFile(tmp_path / str(at)))
        github.before = lambda asked: None
        assert fetch(github, FactFile(tmp_path / str(at))).facts.facts == expected.facts.facts
        after = github.asked[at:]
        if at > 4:  # the issues were read to their end: what changed since
            assert after.pop(0).cursor == ""
        assert after == whole.asked[at - 1 :]

    def test_a_rate_limited_fetch_resumes_without_repeating_a_page(self) -> None:
        github, store = CountingGitHub(items(1_000), items(400, 5_000), limit=12), Memory()
        for _ in range(3):
            with pytest.raises(RateLimited) as caught:
                fetch(github, store)
            assert github.spent <= 6  # half of what was left
            assert caught.value.until == github.resets_at
            github.now = caught.value.until
        found = fetch(github, store)
        assert numbers(found) == {*range(1, 1_001), *range(5_000, 5_400)}
        cursors = [(asked.kind, asked.cursor) for asked in github.asked if asked.cursor]
        assert len(set(cursors)) == len(cursors) == 9 + 3

    def test_githubs_own_rate_limit_is_handled_the_same_way(self) -> None:
        github, store = CountingGitHub(items(500), []), Memory()

        def refuse(asked: Asked) -> None:
            if len(github.asked) == 3:
                raise RateLimited("API rate limit exceeded", NOW + timedelta(minutes=9))

        github.before = refuse
        with pytest.raises(RateLimited) as caught:
            fetch(github, store)
        assert caught.value.until == NOW + timedelta(minutes=9)
        found = fetch(github, store)
        assert numbers(found) == set(range(1, 501))
        assert len(github.asked) == 5 + 1 + 1  # pages, the one that was refused, the pull requests

    def test_a_tiny_share_still_fetches_a_page_each_time(self) -> None:
        github, store = CountingGitHub(items(300), [], limit=1), Memory()
        for _ in range(3):
            with pytest.raises(RateLimited):
                fetch(github, store, share=0.1)
            github.now = github.resets_at
        assert set(store.facts) == set(range(1, 301))

    def test_without_a_limit_everything_is_fetched(self) -> None:
        github = CountingGitHub(items(2_000), [], limit=None)
        assert fetch(github, Memory()).points == 0


class TestChangesMeanwhile:
    def test_an_issue_that_moves_to_the_end_is_read_again(self) -> None:
        github = CountingGitHub(items(250), [])

        def change(asked: Asked) -> None:
            if len(github.asked) == 2:
                github.touch("issues", 3, START + 90_000, labels=("bug",))

        github.before = change
        found = fetch(github, Memory())
        assert found.facts.facts[3].labels == ("bug",)
        assert numbers(found) == set(range(1, 251))

    @pytest.mark.parametrize("is_cut_off", [False, True])
    def test_a_pull_request_that_moves_to_the_front_is_found_by_the_next_walk(self, is_cut_off: bool) -> None:
        github, store = CountingGitHub([], items(250, 1_000)), Memory()

        def change(asked: Asked) -> None:
            if len(github.asked) == 3:  # the first page was read; 1_010 would have come on the last
                github.touch("pull_requests", 1_010, START + 90_000, labels=("bug",))
                if is_cut_off:
                    raise RateLimited("an error", NOW)

        github.before = change
        if is_cut_off:
            with pytest.raises(RateLimited):
                fetch(github, store)
        found = fetch(github, store)
        assert found.facts.facts[1_010].labels == ("bug",)
        assert numbers(found) == set(range(1_000, 1_250))

    def test_an_invalid_cursor_costs_one_page_of_issues(self) -> None:
        github, store = CountingGitHub(items(1_000), []), Memory()

        def refuse(asked: Asked) -> GraphQlResponse | None:
            if len(github.asked) == 6:
                message = f"`{asked.cursor}` does not appear to be a valid cursor."
                return GraphQlResponse(
                    {"repository": None}, (graphql_error("INVALID_CURSOR_ARGUMENTS", message=message),)
                )
            return None

        github.before = refuse
        found = fetch(github, store)
        assert numbers(found) == set(range(1, 1_001))
        assert len(github.asked) <= 10 + 1 + 1 + 1
        assert github.asked[6].cursor == ""
        assert github.asked[6].since > github.asked[5].since


class TestFailures:
    def test_pages_that_time_out_are_halved_and_grow_again(self) -> None:
        github = CountingGitHub(items(2_000), [])

        def fail(asked: Asked) -> None:
            if asked.size > 25 and len(github.asked) < 5:
                raise Unavailable("GitHub answers HTTP 502")

        github.before = fail
        found = fetch(github, Memory())
        assert numbers(found) == set(range(1, 2_001))
        assert [asked.size for asked in github.asked[:4]] == [100, 50, 25, 25]
        assert github.asked[-2].size == 100

    def test_fetching_gives_up_at_the_smallest_page(self) -> None:
        github = CountingGitHub(items(10), [])

        def fail(asked: Asked) -> None:
            raise Unavailable("GitHub answers HTTP 502")

        github.before = fail
        with pytest.raises(Unavailable):
            fetch(github, Memory())
        assert [asked.size for asked in github.asked] == [100, 50, 25, 12, 6]

    @pytest.mark.parametrize("kind", ["", "RESOURCE_LIMITS_EXCEEDED"])
    def test_partial_pages_are_halved_and_finally_accepted(self, kind: str) -> None:
        github = CountingGitHub(items(9), [])

        def in_part(asked: Asked) -> GraphQlResponse | None:
            if asked.kind != "issues":
                return None
            page = dict(github._page(asked))
            page["nodes"] = [None if node["number"] == 4 else node for node in page["nodes"]]
            broken = any(node is None for node in page["nodes"])
            errors = (GraphQlError(kind, "Something went wrong", ("repository", "page", "nodes", 3)),) if broken else ()
            return GraphQlResponse({"repository": {"databaseId": REPOSITORY_ID, "page": page}}, errors)

        github.before = in_part
        found = fetch(github, Memory())
        assert numbers(found) == {1, 2, 3, 5, 6, 7, 8, 9}
        assert found.unreadable == 1

    def test_null_nodes_are_counted_as_unreadable(self) -> None:
        github = CountingGitHub(items(4), [])

        def hide(asked: Asked) -> GraphQlResponse | None:
            if asked.kind != "issues":
                return None
            page = github._page(asked) | {"nodes": [None, *github._page(asked)["nodes"][1:]]}
            return GraphQlResponse({"repository": {"databaseId": REPOSITORY_ID, "page": page}})

        github.before = hide
        found = fetch(github, Memory())
        assert (numbers(found), found.unreadable, len(github.asked)) == ({2, 3, 4}, 1, 2)

    @each_row(
        ("error", "expected"),
        [
            (graphql_error("NOT_FOUND", "repository"), NotFound),
            (
                graphql_error(
                    "FORBIDDEN", "repository", message="Resource protected by organization SAML enforcement."
                ),
                Forbidden,
            ),
            (graphql_error("INSUFFICIENT_SCOPES"), Forbidden),
            (graphql_error("MAX_NODE_LIMIT_EXCEEDED"), Rejected),
            (graphql_error("", message="Something went wrong while executing your query."), Unavailable),
        ],
    )
    def test_errors_about_the_whole_query_are_raised(self, error: GraphQlError, expected: type[Exception]) -> None:
        github = CountingGitHub(items(1), [])
        github.before = lambda asked: GraphQlResponse({"repository": None}, (error,))
        with pytest.raises(expected):
            fetch(github, Memory())

    def test_repeated_pages_are_an_error(self) -> None:
        github = CountingGitHub(items(300), [])

        def circle(asked: Asked) -> GraphQlResponse | None:
            page = github._page(dataclasses.replace(asked, cursor=""))
            return GraphQlResponse({"repository": {"databaseId": REPOSITORY_ID, "page": page}})

        github.before = circle
        with pytest.raises(Unavailable, match="same page"):
            fetch(github, Memory())


class TestPermissions:
    def refuse(self, *kinds: str) -> Callable[[Asked], GraphQlResponse | None]:
        def refused(asked: Asked) -> GraphQlResponse | None:
            error = graphql_error("FORBIDDEN", "repository", "page", message="Resource not accessible by integration")
            return GraphQlResponse({"repository": None}, (error,)) if asked.kind in kinds else None

        return refused

    def without_closes(self, github: CountingGitHub, asked: Asked) -> GraphQlResponse:
        page = github._page(asked)
        page["nodes"] = [node | {"closingIssuesReferences": None} for node in page["nodes"]]
        errors = tuple(
            graphql_error("FORBIDDEN", "repository", "page", "nodes", at, "closingIssuesReferences")
            for at in range(len(page["nodes"]))
        )
        return GraphQlResponse({"repository": {"databaseId": REPOSITORY_ID, "page": page}}, errors)

    def test_missing_permissions_are_named_and_the_rest_is_fetched(self) -> None:
        github = CountingGitHub(items(3), items(3, 100))
        github.before = self.refuse("issues")
        found = fetch(github, Memory())
        assert (found.lacks, numbers(found)) == (("issues",), {100, 101, 102})
        assert found.facts.is_complete

    def test_both_permissions_may_be_missing(self) -> None:
        github, store = CountingGitHub(items(3), items(3, 100)), Memory()
        github.before = self.refuse("issues", "pull_requests")
        found = fetch(github, store)
        assert (found.lacks, numbers(found), found.requests) == (("issues", "pull_requests"), set(), 2)

    def test_pull_requests_are_read_again_once_issues_are_granted(self) -> None:
        github, store = CountingGitHub(items(3), items(150, 100, closes=(2,))), Memory()

        def without_issues(asked: Asked) -> GraphQlResponse | None:
            return self.refuse("issues")(asked) or self.without_closes(github, asked)

        github.before = without_issues
        found = fetch(github, store)
        assert (found.lacks, found.facts.facts[100].closes) == (("issues",), ())
        github.before = lambda asked: None
        found = fetch(github, store)
        assert (found.lacks, found.facts.facts[100].closes, found.facts.facts[249].closes) == ((), (2,), (2,))
        assert fetch(github, store).requests == 2

    @pytest.mark.parametrize("put_off", [(2,), (2, 5), (3, 5, 8)])
    def test_pull_requests_are_read_again_even_after_rate_limits(
        self, tmp_path: Path, put_off: tuple[int, ...]
    ) -> None:
        github = CountingGitHub(items(3), items(250, 100, closes=(2,)))
        is_granted = False

        def some(asked: Asked) -> GraphQlResponse | None:
            nonlocal is_granted
            if len(github.asked) in put_off:
                is_granted = True
                raise RateLimited("an error", NOW)
            if is_granted:
                return None
            return self.refuse("issues")(asked) or self.without_closes(github, asked)

        github.before = some
        for _ in put_off:
            with pytest.raises(RateLimited):
                fetch(github, FactFile(tmp_path / "e"))
        found = fetch(github, FactFile(tmp_path / "e"))
        assert found.lacks == ()
        assert {fact.closes for fact in found.facts.facts.values() if fact.is_pull_request} == {(2,)}
        assert fetch(github, FactFile(tmp_path / "e")).requests == 2


class TestNames:
    def test_a_name_taken_by_another_repository_is_not_found(self) -> None:
        github = CountingGitHub(items(1), [], repository_id=78)
        with pytest.raises(NotFound):
            fetch(github, Memory())

    @pytest.mark.parametrize("place", [RepositoryRef("acme", "shop"), RepositoryRef("acme", "shop", 78)])
    def test_facts_about_the_previous_owner_of_a_name_are_dropped(self, tmp_path: Path, place: RepositoryRef) -> None:
        path = tmp_path / "e"
        fetch(CountingGitHub(items(5), []), FactFile(path), place=RepositoryRef("acme", "shop"))
        found = fetch(CountingGitHub(items(2, 50), [], repository_id=78), FactFile(path), place=place)
        assert numbers(found) == {50, 51}
        assert found.facts.state.repository_id == 78
        assert FactFile(path).load() == found.facts


class TestUnknownFields:
    def test_missing_issue_types_are_detected_once(self) -> None:
        github = CountingGitHub(items(150), [])

        def unknown(asked: Asked) -> GraphQlResponse | None:
            if github.unknown_fields:
                return None
            message = "Field 'issueType' doesn't exist on type 'Issue'"
            return GraphQlResponse({}, (GraphQlError("undefinedField", message, (), "issueType"),))

        github.before = unknown
        store = Memory()
        found = fetch(github, store)
        assert numbers(found) == set(range(1, 151))
        assert found.requests == 1 + 2 + 1
        assert github.unknown_fields == {"issueType"}
        assert fetch(github, store).requests == 2

    def test_queries_request_no_text(self) -> None:
        for kind in ("issues", "pull_requests"):
            words = query_words(page_query(kind, ()))
            assert {"body", "bodyText", "title", "author"}.isdisjoint(words)
        assert "issueType" in query_words(page_query("issues", ()))
        assert "issueType" not in query_words(page_query("issues", {"issueType"}))
