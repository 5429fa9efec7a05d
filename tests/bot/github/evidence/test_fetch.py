"""The fetch against a GraphQL that counts: what is asked for, how often, and what is known at the end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.errors import Forbidden, NotFound, RateLimited, Rejected, Unavailable
from bot.github.evidence.evidence_facts import FactStoreProtocol
from bot.github.evidence.fact_file import FactFile
from bot.github.evidence.fetch import Fetched, fetch_facts
from bot.github.evidence.graphql_response import Reply, Trouble
from bot.github.evidence.queries import Place, page_query
from tests.bot.github.evidence.counting import (
    LONG_AGO,
    NOW,
    REPOSITORY_ID,
    Asked,
    CountingGitHub,
    Item,
    Memory,
    query_words,
    trouble,
)

START = int(datetime(2026, 1, 1, tzinfo=NOW.tzinfo).timestamp())
PLACE = Place("acme", "shop", REPOSITORY_ID)


def items(count: int, first: int = 1, *, start: int = START, **more: Any) -> list[Item]:
    """One change a minute."""
    return [Item(first + index, start + 60 * index, **more) for index in range(count)]


def fetch(
    github: CountingGitHub,
    store: FactStoreProtocol,
    since: datetime = LONG_AGO,
    place: Place = PLACE,
    share: float = 0.5,
) -> Fetched:
    return asyncio.run(fetch_facts(github, place, store, since=since, now=lambda: github.now, share=share))


def numbers(found: Fetched) -> set[int]:
    return set(found.facts.facts)


class TestPages:
    def test_everything_is_fetched_a_hundred_at_a_time(self) -> None:
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

    def test_a_repository_without_any_takes_two_requests(self) -> None:
        github = CountingGitHub()
        found = fetch(github, Memory())
        assert (found.requests, numbers(found), found.facts.is_complete) == (2, set(), True)

    def test_an_update_without_changes_takes_two_requests(self) -> None:
        github, store = CountingGitHub(items(1_000), items(500, 2_000)), Memory()
        fetch(github, store)
        assert fetch(github, store).requests == 2

    def test_an_update_brings_what_changed_and_what_is_new(self) -> None:
        github, store = CountingGitHub(items(300), items(300, 1_000)), Memory()
        fetch(github, store)
        later = START + 400 * 60
        github.touch("issues", 5, later, labels=("bug",))
        github.pull_requests.append(Item(5_000, later))
        found = fetch(github, store)
        assert found.requests == 2
        assert found.facts.facts[5].labels == ("bug",)
        assert 5_000 in numbers(found)

    def test_what_changed_before_the_wanted_time_is_not_asked_for(self) -> None:
        github = CountingGitHub(items(500), items(500, 1_000))
        since = datetime.fromtimestamp(START + 450 * 60, NOW.tzinfo) + timedelta(days=30)  # less the margin
        found = fetch(github, Memory(), since)
        assert {number for number in numbers(found) if number < 1_000} == set(range(451, 501))
        assert [asked.kind for asked in github.asked] == ["issues", "pull_requests"]

    def test_an_earlier_time_within_the_margin_costs_nothing_and_one_beyond_it_another_walk(self) -> None:
        github, store = CountingGitHub(items(500), []), Memory()
        since = datetime.fromtimestamp(START + 450 * 60, NOW.tzinfo) + timedelta(days=30)
        fetch(github, store, since)
        assert fetch(github, store, since - timedelta(minutes=10)).requests == 2
        found = fetch(github, store, LONG_AGO)
        assert found.requests == 6
        assert numbers(found) == set(range(1, 501))

    def test_a_later_time_is_an_update(self) -> None:
        github, store = CountingGitHub(items(300), []), Memory()
        fetch(github, store)
        assert fetch(github, store, NOW).requests == 2


class TestScale:
    def test_forty_thousand_issues_and_half_as_many_pull_requests_take_under_900_requests_and_10_to_update(
        self, tmp_path: Path
    ) -> None:
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
    @pytest.mark.parametrize("at", range(1, 9))
    def test_a_restart_in_the_middle_asks_for_one_page_again_and_for_nothing_twice(
        self, tmp_path: Path, at: int
    ) -> None:
        """The crash comes while the answer is on its way: the page was asked for, and is not kept."""
        whole = CountingGitHub(items(350), items(250, 1_000))
        expected = fetch(whole, Memory())
        assert [asked.kind for asked in whole.asked] == ["issues"] * 4 + ["pull_requests"] * 4
        github = CountingGitHub(items(350), items(250, 1_000))

        def die(asked: Asked) -> None:
            if len(github.asked) == at:
                raise KeyboardInterrupt

        github.before = die
        with pytest.raises(KeyboardInterrupt):
            fetch(github, FactFile(tmp_path / "e"))
        github.before = lambda asked: None
        assert fetch(github, FactFile(tmp_path / "e")).facts.facts == expected.facts.facts
        after = github.asked[at:]
        if at > 4:  # the issues were read to their end: what changed since
            assert after.pop(0).cursor == ""
        assert after == whole.asked[at - 1 :]

    def test_the_rate_limit_hit_in_the_middle_puts_off_and_nothing_is_asked_twice(self) -> None:
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

    def test_githubs_own_refusal_in_the_middle_is_the_same(self) -> None:
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

    def test_a_share_of_nothing_still_makes_a_page_of_progress_each_time(self) -> None:
        github, store = CountingGitHub(items(300), [], limit=1), Memory()
        for _ in range(3):
            with pytest.raises(RateLimited):
                fetch(github, store, share=0.1)
            github.now = github.resets_at
        assert set(store.facts) == set(range(1, 301))

    def test_a_github_without_a_limit_is_asked_to_the_end(self) -> None:
        github = CountingGitHub(items(2_000), [], limit=None)
        assert fetch(github, Memory()).points == 0


class TestChangesMeanwhile:
    def test_an_issue_that_moves_to_the_end_is_seen_again_as_it_is_then(self) -> None:
        github = CountingGitHub(items(250), [])

        def change(asked: Asked) -> None:
            if len(github.asked) == 2:
                github.touch("issues", 3, START + 90_000, labels=("bug",))

        github.before = change
        found = fetch(github, Memory())
        assert found.facts.facts[3].labels == ("bug",)
        assert numbers(found) == set(range(1, 251))

    @pytest.mark.parametrize("is_cut_off", [False, True])
    def test_a_pull_request_that_moves_to_the_front_is_found_by_the_walk_after(self, is_cut_off: bool) -> None:
        github, store = CountingGitHub([], items(250, 1_000)), Memory()

        def change(asked: Asked) -> None:
            if len(github.asked) == 3:  # the first page was read; 1_010 would have come on the last
                github.touch("pull_requests", 1_010, START + 90_000, labels=("bug",))
                if is_cut_off:
                    raise RateLimited("said", NOW)

        github.before = change
        if is_cut_off:
            with pytest.raises(RateLimited):
                fetch(github, store)
        found = fetch(github, store)
        assert found.facts.facts[1_010].labels == ("bug",)
        assert numbers(found) == set(range(1_000, 1_250))

    def test_a_cursor_that_github_does_not_know_any_more_costs_a_page_of_issues(self) -> None:
        github, store = CountingGitHub(items(1_000), []), Memory()

        def refuse(asked: Asked) -> Reply | None:
            if len(github.asked) == 6:
                message = f"`{asked.cursor}` does not appear to be a valid cursor."
                return Reply({"repository": None}, (trouble("INVALID_CURSOR_ARGUMENTS", message=message),))
            return None

        github.before = refuse
        found = fetch(github, store)
        assert numbers(found) == set(range(1, 1_001))
        assert len(github.asked) <= 10 + 1 + 1 + 1
        assert github.asked[6].cursor == ""
        assert github.asked[6].since > github.asked[5].since


class TestFailures:
    def test_a_page_that_takes_github_too_long_is_asked_for_by_halves_and_later_whole_again(self) -> None:
        github = CountingGitHub(items(2_000), [])

        def fail(asked: Asked) -> None:
            if asked.size > 25 and len(github.asked) < 5:
                raise Unavailable("GitHub answers HTTP 502")

        github.before = fail
        found = fetch(github, Memory())
        assert numbers(found) == set(range(1, 2_001))
        assert [asked.size for asked in github.asked[:4]] == [100, 50, 25, 25]
        assert github.asked[-2].size == 100

    def test_a_github_that_never_answers_is_given_up_at_the_smallest_page(self) -> None:
        github = CountingGitHub(items(10), [])

        def fail(asked: Asked) -> None:
            raise Unavailable("GitHub answers HTTP 502")

        github.before = fail
        with pytest.raises(Unavailable):
            fetch(github, Memory())
        assert [asked.size for asked in github.asked] == [100, 50, 25, 12, 6]

    @pytest.mark.parametrize("kind", ["", "RESOURCE_LIMITS_EXCEEDED"])
    def test_a_page_in_part_is_asked_for_by_halves_and_taken_at_last(self, kind: str) -> None:
        github = CountingGitHub(items(9), [])

        def in_part(asked: Asked) -> Reply | None:
            if asked.kind != "issues":
                return None
            page = dict(github._page(asked))
            page["nodes"] = [None if node["number"] == 4 else node for node in page["nodes"]]
            broken = any(node is None for node in page["nodes"])
            errors = (Trouble(kind, "Something went wrong", ("repository", "page", "nodes", 3)),) if broken else ()
            return Reply({"repository": {"databaseId": REPOSITORY_ID, "page": page}}, errors)

        github.before = in_part
        found = fetch(github, Memory())
        assert numbers(found) == {1, 2, 3, 5, 6, 7, 8, 9}
        assert found.unreadable == 1

    def test_a_null_node_is_not_ours_to_see_and_is_counted(self) -> None:
        github = CountingGitHub(items(4), [])

        def hide(asked: Asked) -> Reply | None:
            if asked.kind != "issues":
                return None
            page = github._page(asked) | {"nodes": [None, *github._page(asked)["nodes"][1:]]}
            return Reply({"repository": {"databaseId": REPOSITORY_ID, "page": page}})

        github.before = hide
        found = fetch(github, Memory())
        assert (numbers(found), found.unreadable, len(github.asked)) == ({2, 3, 4}, 1, 2)

    @pytest.mark.parametrize(
        ("said", "problem"),
        [
            (trouble("NOT_FOUND", "repository"), NotFound),
            (
                trouble("FORBIDDEN", "repository", message="Resource protected by organization SAML enforcement."),
                Forbidden,
            ),
            (trouble("INSUFFICIENT_SCOPES"), Forbidden),
            (trouble("MAX_NODE_LIMIT_EXCEEDED"), Rejected),
            (trouble("", message="Something went wrong while executing your query."), Unavailable),
        ],
    )
    def test_what_stands_against_the_whole_query_is_raised(self, said: Trouble, problem: type[Exception]) -> None:
        github = CountingGitHub(items(1), [])
        github.before = lambda asked: Reply({"repository": None}, (said,))
        with pytest.raises(problem):
            fetch(github, Memory())

    def test_pages_that_go_in_circles_are_left(self) -> None:
        github = CountingGitHub(items(300), [])

        def circle(asked: Asked) -> Reply | None:
            page = github._page(dataclasses.replace(asked, cursor=""))
            return Reply({"repository": {"databaseId": REPOSITORY_ID, "page": page}})

        github.before = circle
        with pytest.raises(Unavailable, match="circles"):
            fetch(github, Memory())


class TestPermissions:
    def refuse(self, *kinds: str) -> Callable[[Asked], Reply | None]:
        def refused(asked: Asked) -> Reply | None:
            said = trouble("FORBIDDEN", "repository", "page", message="Resource not accessible by integration")
            return Reply({"repository": None}, (said,)) if asked.kind in kinds else None

        return refused

    def without_closes(self, github: CountingGitHub, asked: Asked) -> Reply:
        page = github._page(asked)
        page["nodes"] = [node | {"closingIssuesReferences": None} for node in page["nodes"]]
        said = tuple(
            trouble("FORBIDDEN", "repository", "page", "nodes", at, "closingIssuesReferences")
            for at in range(len(page["nodes"]))
        )
        return Reply({"repository": {"databaseId": REPOSITORY_ID, "page": page}}, said)

    def test_a_missing_permission_is_named_and_the_rest_is_fetched(self) -> None:
        github = CountingGitHub(items(3), items(3, 100))
        github.before = self.refuse("issues")
        found = fetch(github, Memory())
        assert (found.lacks, numbers(found)) == (("issues",), {100, 101, 102})
        assert found.facts.is_complete

    def test_both_may_be_missing(self) -> None:
        github, store = CountingGitHub(items(3), items(3, 100)), Memory()
        github.before = self.refuse("issues", "pull_requests")
        found = fetch(github, store)
        assert (found.lacks, numbers(found), found.requests) == (("issues", "pull_requests"), set(), 2)

    def test_once_granted_the_pull_requests_are_read_again_for_what_they_close(self) -> None:
        github, store = CountingGitHub(items(3), items(150, 100, closes=(2,))), Memory()

        def without_issues(asked: Asked) -> Reply | None:
            return self.refuse("issues")(asked) or self.without_closes(github, asked)

        github.before = without_issues
        found = fetch(github, store)
        assert (found.lacks, found.facts.facts[100].closes) == (("issues",), ())
        github.before = lambda asked: None
        found = fetch(github, store)
        assert (found.lacks, found.facts.facts[100].closes, found.facts.facts[249].closes) == ((), (2,), (2,))
        assert fetch(github, store).requests == 2

    @pytest.mark.parametrize("put_off", [(2,), (2, 5), (3, 5, 8)])
    def test_that_also_holds_where_either_fetch_was_put_off(self, tmp_path: Path, put_off: tuple[int, ...]) -> None:
        github = CountingGitHub(items(3), items(250, 100, closes=(2,)))
        is_granted = False

        def some(asked: Asked) -> Reply | None:
            nonlocal is_granted
            if len(github.asked) in put_off:
                is_granted = True
                raise RateLimited("said", NOW)
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
    def test_a_name_that_is_anothers_now_is_not_found(self) -> None:
        github = CountingGitHub(items(1), [], repository_id=78)
        with pytest.raises(NotFound):
            fetch(github, Memory())

    @pytest.mark.parametrize("place", [Place("acme", "shop"), Place("acme", "shop", 78)])
    def test_what_was_known_of_the_former_bearer_of_a_name_is_forgotten(self, tmp_path: Path, place: Place) -> None:
        path = tmp_path / "e"
        fetch(CountingGitHub(items(5), []), FactFile(path), place=Place("acme", "shop"))
        found = fetch(CountingGitHub(items(2, 50), [], repository_id=78), FactFile(path), place=place)
        assert numbers(found) == {50, 51}
        assert found.facts.standing.repository_id == 78
        assert FactFile(path).load() == found.facts


class TestUnknownFields:
    def test_a_server_without_types_of_issues_is_asked_once_and_that_is_remembered(self) -> None:
        github = CountingGitHub(items(150), [])

        def unknown(asked: Asked) -> Reply | None:
            if github.unknown_fields:
                return None
            message = "Field 'issueType' doesn't exist on type 'Issue'"
            return Reply({}, (Trouble("undefinedField", message, (), "issueType"),))

        github.before = unknown
        store = Memory()
        found = fetch(github, store)
        assert numbers(found) == set(range(1, 151))
        assert found.requests == 1 + 2 + 1
        assert github.unknown_fields == {"issueType"}
        assert fetch(github, store).requests == 2

    def test_the_queries_ask_for_no_text(self) -> None:
        for kind in ("issues", "pull_requests"):
            words = query_words(page_query(kind, ()))
            assert {"body", "bodyText", "title", "author"}.isdisjoint(words)
        assert "issueType" in query_words(page_query("issues", ()))
        assert "issueType" not in query_words(page_query("issues", {"issueType"}))
