"""The fetch against the simulated GitHub, which validates every query against GitHub's schema."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.endpoints import GitHubServer
from bot.github.errors import BadToken, Forbidden, NotFound, RateLimited
from bot.github.evidence.evidence_facts import tracker_of
from bot.github.evidence.fact_file import FactFile
from bot.github.evidence.fetch import FetchResult, fetch_facts
from bot.github.evidence.graphql_client import evidence_for_token
from bot.github.evidence.queries import RepositoryRef
from pipeline.mining.issue_links import IssueFact
from tests.simulator.faults import before, cut, forbidden, status
from tests.simulator.world import World, make_world

GRAPHQL = "POST /api/graphql"
EVIDENCE = {"contents": "read", "issues": "read", "metadata": "read", "pull_requests": "read"}


@pytest.fixture(params=["api.github.com", "ghes-3.19"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[World]:
    """github.com, where there are rate limits."""
    with make_world(tmp_path) as made:
        yield made


def fetch(
    world: World, path: Path, permissions: dict[str, str] = EVIDENCE, repository_id: int | None = None
) -> FetchResult:
    async def talk() -> FetchResult:
        server = GitHubServer(world.github.url, world.github.api_url, "2022-11-28")
        number = world.shop.repository_id if repository_id is None else repository_id
        since = world.clock.now() - timedelta(days=1_095)
        async with evidence_for_token(server, world.installation.token(permissions), world.clock) as client:
            place = RepositoryRef("acme", "shop", number)
            return await fetch_facts(client, place, FactFile(path), since=since, now=world.clock.now)

    return asyncio.run(talk())


def fill(world: World, issues: int, pull_requests: int = 0) -> None:
    """Create items that change an hour apart, the last of them an hour ago."""
    began = world.clock.now() - timedelta(hours=issues + pull_requests + 1)
    for number in range(1, issues + 1):
        world.shop.issue(number, labels=["bug"], opened_at=began + timedelta(hours=number))
    for number in range(issues + 1, issues + pull_requests + 1):
        world.shop.pull_request(number, merged=world.head, opened_at=began + timedelta(hours=number))


def query_count(world: World) -> int:
    return sum(seen.path == "/api/graphql" for seen in world.github.requests)


def test_issues_and_pull_requests_are_fetched(world: World, tmp_path: Path) -> None:
    world.github.graphql.has_issue_types = True
    at = world.clock.now() - timedelta(days=9)
    other = world.acme.repository("other").issue(7)
    bug = world.shop.issue(4, labels=["bug", "area: cart"], issue_type="Bug", opened_at=at)
    bug.close(at=at + timedelta(days=1))
    world.shop.issue(5, opened_at=at)
    world.shop.pull_request(6, labels=["type: bug"], merged=world.head, closes=[bug, other], opened_at=at)
    world.shop.pull_request(8, opened_at=at, closed_at=at + timedelta(hours=1))
    found = fetch(world, tmp_path / "e")
    opened = int(at.timestamp())
    assert found.facts.facts == {
        4: IssueFact(4, False, "closed", ("bug", "area: cart"), "Bug", opened, opened + 86_400, None),
        5: IssueFact(5, False, "open", (), None, opened, None, None),
        6: IssueFact(6, True, "merged", ("type: bug",), None, opened, opened, bytes.fromhex(world.head), (4,)),
        8: IssueFact(8, True, "closed", (), None, opened, opened + 3_600, None),
    }
    assert (found.requests, found.lacks, found.facts.is_complete) == (2, (), True)
    assert found.facts.state.repository_id == world.shop.repository_id
    assert tracker_of(found.facts, opened).nature(4) == "bug"


def test_a_restart_resumes_and_an_update_is_short(world: World, tmp_path: Path) -> None:
    fill(world, 250, 120)
    fetch_until(world, tmp_path, 2)
    assert query_count(world) == 3
    found = fetch(world, tmp_path / "e")
    assert query_count(world) == 3 + 1 + 3
    assert set(found.facts.facts) == set(range(1, 371))
    world.clock.advance(3_600)
    world.shop.items[3].label("regression")
    world.shop.issue(999)
    again = fetch(world, tmp_path / "e")
    assert again.requests == 2
    assert again.facts.facts[3].labels == ("bug", "regression")
    assert 999 in again.facts.facts


def fetch_until(world: World, tmp_path: Path, pages: int) -> None:
    """Fetch `pages` pages; the token of the next request is rejected."""
    answered = 0

    def revoke() -> None:
        nonlocal answered
        answered += 1
        if answered > pages:
            world.github.tokens.clear()

    rule = world.github.fault(GRAPHQL, before(revoke), times=pages + 1)
    with pytest.raises(BadToken):
        fetch(world, tmp_path / "e")
    rule.stop()


def test_a_rate_limited_fetch_resumes_without_repeats(hub: World, tmp_path: Path) -> None:
    fill(hub, 700, 250)
    hub.github.graphql.points_an_hour = 10
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            fetch(hub, tmp_path / "e")
        assert hub.github.graphql.remaining(hub.installation.installation_id) >= 5  # at most half is used
        assert caught.value.until > hub.clock.now()
        hub.clock.set(caught.value.until)
    found = fetch(hub, tmp_path / "e")
    assert set(found.facts.facts) == set(range(1, 951))
    cursors = [variables["after"] for variables in hub.github.graphql.asked if variables["after"]]
    assert len(set(cursors)) == len(cursors) == 6 + 2


def test_a_rate_limit_used_up_by_others_is_waited_for(hub: World, tmp_path: Path) -> None:
    fill(hub, 5)
    hub.github.graphql.points_an_hour = 0
    with pytest.raises(RateLimited) as caught:
        fetch(hub, tmp_path / "e")
    assert caught.value.until > hub.clock.now()
    hub.github.graphql.points_an_hour = 5_000
    assert len(fetch(hub, tmp_path / "e").facts.facts) == 5


def test_a_secondary_rate_limit_is_waited_for(hub: World, tmp_path: Path) -> None:
    hub.github.fault(GRAPHQL, forbidden(seconds=77))
    with pytest.raises(RateLimited) as caught:
        fetch(hub, tmp_path / "e")
    assert caught.value.until == hub.clock.now() + timedelta(seconds=77)


@pytest.mark.parametrize(
    ("missing", "lacks", "numbers"),
    [
        ("issues", ("issues",), {11}),
        ("pull_requests", ("pull_requests",), {1, 2, 3}),
        ("contents", ("contents",), {1, 2, 3, 11}),
    ],
)
def test_missing_permissions_are_named_and_the_rest_is_fetched(
    world: World, tmp_path: Path, missing: str, lacks: Any, numbers: set[int]
) -> None:
    fill(world, 3)
    world.shop.pull_request(11, merged=world.head, closes=[world.shop.items[2]])
    granted = {name: level for name, level in EVIDENCE.items() if name != missing}
    found = fetch(world, tmp_path / "e", granted)
    assert (found.lacks, set(found.facts.facts)) == (lacks, numbers)
    assert found.facts.is_complete
    whole = fetch(world, tmp_path / "e")
    assert whole.lacks == ()
    assert set(whole.facts.facts) == {1, 2, 3, 11}
    assert whole.facts.facts[11].closes == (2,)


def test_lacking_both_permissions_takes_two_requests(world: World, tmp_path: Path) -> None:
    found = fetch(world, tmp_path / "e", {"contents": "read", "metadata": "read"})
    assert (found.lacks, found.requests) == (("issues", "pull_requests"), 2)


def test_issue_types_may_be_missing(ghes: World, tmp_path: Path) -> None:
    fill(ghes, 120)
    ghes.github.graphql.has_issue_types = False
    found = fetch(ghes, tmp_path / "e")
    assert len(found.facts.facts) == 120
    assert found.requests == 1 + 2 + 1
    assert found.points == 0


@pytest.fixture
def ghes(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path, "ghes-3.19") as made:
        yield made


def test_large_pages_that_time_out_are_halved(world: World, tmp_path: Path) -> None:
    fill(world, 200)
    world.github.graphql.slow_above = 60
    found = fetch(world, tmp_path / "e")
    assert len(found.facts.facts) == 200
    assert [variables["size"] for variables in world.github.graphql.asked[:3]] == [100, 50, 50]


@pytest.mark.parametrize("fault", [status(502), cut()])
def test_a_transient_failure_is_retried(world: World, tmp_path: Path, fault: Any) -> None:
    fill(world, 20)
    world.github.fault(GRAPHQL, fault, times=1)

    async def awake() -> None:
        while True:  # wakes sleepers on the simulator's clock
            world.clock.advance(1)
            await asyncio.sleep(0.01)

    async def talk() -> FetchResult:
        server = GitHubServer(world.github.url, world.github.api_url, "2022-11-28")
        moving = asyncio.create_task(awake())
        since = world.clock.now() - timedelta(days=99)
        try:
            async with evidence_for_token(server, world.token, world.clock) as client:
                place = RepositoryRef("acme", "shop", world.shop.repository_id)
                return await fetch_facts(client, place, FactFile(tmp_path / "e"), since=since, now=world.clock.now)
        finally:
            moving.cancel()

    assert len(asyncio.run(talk()).facts.facts) == 20


def test_an_issue_that_github_fails_to_read_is_kept_in_part(world: World, tmp_path: Path) -> None:
    fill(world, 20)
    world.github.graphql.broken = {7}
    world.github.graphql.unseen = {9}
    found = fetch(world, tmp_path / "e")
    assert set(found.facts.facts) == {*range(1, 21)} - {9}
    assert found.facts.facts[7].labels == ()
    assert found.facts.facts[8].labels == ("bug",)
    assert found.unreadable == 1


def test_issues_may_change_or_leave_during_a_fetch(world: World, tmp_path: Path) -> None:
    fill(world, 150)

    def change() -> None:
        world.shop.items[2].label("regression")
        world.shop.items[149].delete()

    world.github.fault(GRAPHQL, before(lambda: None), times=1)
    world.github.fault(GRAPHQL, before(change), times=1)
    found = fetch(world, tmp_path / "e")
    assert found.facts.facts[2].labels == ("bug", "regression")
    assert set(found.facts.facts) == {*range(1, 151)} - {149}


def test_renamed_taken_and_deleted_repositories(world: World, tmp_path: Path) -> None:
    fill(world, 2)
    world.shop.rename("store")
    assert len(fetch(world, tmp_path / "e").facts.facts) == 2  # the old name leads on
    taken = world.acme.repository("shop", private=True)
    world.installation.add(taken)
    with pytest.raises(NotFound, match="another"):
        fetch(world, tmp_path / "e")
    assert fetch(world, tmp_path / "other", repository_id=0).facts.state.repository_id == taken.repository_id
    taken.delete()
    world.shop.delete()
    with pytest.raises(NotFound, match="Could not resolve"):
        fetch(world, tmp_path / "e")


def test_a_private_repository_without_the_installation_is_not_found(world: World, tmp_path: Path) -> None:
    world.installation.remove(world.shop)
    with pytest.raises((NotFound, Forbidden)):
        fetch(world, tmp_path / "e")
