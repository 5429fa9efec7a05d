"""Walks through lists that change meanwhile and are interrupted anywhere, yet end with the right facts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.github.errors import RateLimited
from bot.github.evidence.fetch import fetch_facts
from bot.github.evidence.graphql_response import Page
from bot.github.evidence.queries import Kind, RepositoryRef
from bot.github.evidence.walks import MARGIN_S, OVERLAP_S, UNREAD, WalkState, advance, begin, update, without_cursor
from tests.bot.github.evidence.counting import LONG_AGO, NOW, REPOSITORY_ID, Asked, CountingGitHub, Item, Memory
from tests.rows import each_row

DAY = 86_400
START = 20_000 * DAY


def page(cursor: str = "", oldest: int | None = None, newest: int | None = None) -> Page:
    return Page(REPOSITORY_ID, (), cursor, oldest, newest)


def test_a_first_walk_goes_back_a_month_further_than_requested() -> None:
    assert begin(UNREAD, START) == WalkState(since=START - MARGIN_S, floor=START - MARGIN_S, newest=START - MARGIN_S)
    assert begin(UNREAD, DAY).since == 0


def test_a_walk_in_progress_is_resumed() -> None:
    walk = WalkState(since=START, cursor="c", floor=START, newest=START + 5)
    assert begin(walk, START) == begin(walk, START + DAY) == walk


def test_an_earlier_start_begins_a_new_walk() -> None:
    walk = WalkState(since=START, until=START + DAY, cursor="c", floor=START, newest=START + 5)
    assert begin(walk, START - 1) == begin(UNREAD, START - 1)


@pytest.mark.parametrize(("until", "floor"), [(START + DAY, START + DAY - OVERLAP_S), (START + 1, START)])
def test_an_update_overlaps_the_last_walk(until: int, floor: int) -> None:
    assert begin(WalkState(since=START, until=until), START) == WalkState(START, until, "", floor, until)
    assert update(WalkState(since=START, until=until)).floor == until


@each_row(
    ("kind", "seen", "ends"),
    [
        ("issues", page("c", START + 1, START + 9), False),
        ("issues", page("c", START - 9, START - 1), False),  # issues are filtered by time, oldest first
        ("issues", page("", START + 1, START + 9), True),
        ("pull_requests", page("c", START, START + 9), False),
        ("pull_requests", page("c", START - 1, START + 9), True),
        ("pull_requests", page("c"), False),  # a page of nulls
        ("pull_requests", page("", START + 1, START + 9), True),
    ],
)
def test_a_walk_ends_at_the_last_page_or_at_its_floor(kind: Kind, seen: Page, ends: bool) -> None:
    walk = advance(WalkState(since=0, floor=START, newest=START), kind, seen)
    assert (walk.cursor == "") is ends
    assert (walk.until is not None) is ends
    assert walk.newest == max(START, seen.newest or 0)


def test_until_never_decreases() -> None:
    assert advance(WalkState(until=START, newest=START), "issues", page("", 5, 6)).until == START


def test_without_a_cursor_issues_resume_and_pull_requests_restart() -> None:
    walk = WalkState(since=0, cursor="c", floor=START, newest=START + DAY)
    assert without_cursor(walk, "issues") == WalkState(0, None, "", START + DAY - OVERLAP_S, START + DAY)
    assert without_cursor(walk, "pull_requests") == WalkState(0, None, "", START, START + DAY)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), max_size=60),
    st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(["issues", "pull_requests"]), st.integers(1, 60)), max_size=8
    ),
    st.sets(st.integers(1, 12), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_facts_match_github_despite_changes_and_interruptions(
    items: list[tuple[int, int]], changes: list[tuple[int, Kind, int]], breaks: set[int]
) -> None:
    """Times are in hours. Pages of 6 instead of 100, so that small lists have several."""
    github, store = CountingGitHub(), Memory()
    for at, (number, hour) in enumerate(items):
        listed = github.issues if at % 2 else github.pull_requests
        if number not in {item.number for item in listed}:
            listed.append(Item(number + 1_000 * (at % 2 == 0), START + 3_600 * hour))
    real_page = github._page

    def small(asked: Asked) -> dict[str, Any]:
        return real_page(Asked(asked.kind, asked.cursor, 6, asked.since))

    def change(asked: Asked) -> None:
        for at, kind, number in changes:
            if at == len(github.asked):
                github.touch(
                    kind, number + 1_000 * (kind == "pull_requests"), START + DAY * 30 + at, labels=(f"n{at}",)
                )
        if len(github.asked) in breaks:
            raise RateLimited("an error", NOW)

    github._page = small  # type: ignore[method-assign]
    github.before = change
    place = RepositoryRef("acme", "shop", REPOSITORY_ID)
    for _ in range(len(breaks) + 2):  # the last one runs without interruptions or changes
        try:
            found = asyncio.run(fetch_facts(github, place, store, since=LONG_AGO, now=lambda: NOW))
        except RateLimited:
            continue
    github.before = lambda asked: None
    found = asyncio.run(fetch_facts(github, place, store, since=LONG_AGO, now=lambda: NOW))
    expected = {item.number: item.labels for item in (*github.issues, *github.pull_requests)}
    assert {number: fact.labels for number, fact in found.facts.facts.items()} == expected
