"""The clients against the simulated GitHub, which rejects requests that violate GitHub's API description."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.client import GitHubApp, GitHubServer, InstallationClient
from bot.github.errors import BadToken, Forbidden, InstallationGone, Moved, NotFound, Suspended
from bot.messages.screen_check import screen_check
from tests.bot.messages.screenings import screened, situation
from tests.simulator.world import World, make_world

EVERYTHING = {"checks": "write", "contents": "read", "issues": "write", "metadata": "read"}


@pytest.fixture(params=["api.github.com", "ghes-3.19"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path, request.param) as made:
        yield made


def as_app(world: World, work: Callable[[GitHubApp], Awaitable[Any]]) -> Any:
    async def talk() -> Any:
        server = GitHubServer(world.github.url, world.github.api_url, "2022-11-28")
        app = GitHubApp(lambda: world.app.credentials, server, world.clock)
        try:
            return await work(app)
        finally:
            await app.close()

    return asyncio.run(talk())


def as_installation(
    world: World, work: Callable[[InstallationClient], Awaitable[Any]], permissions: dict[str, str] = EVERYTHING
) -> Any:
    async def minted(app: GitHubApp) -> Any:
        token = await app.mint(world.installation.installation_id, world.shop.repository_id, permissions)
        return await work(app.installation_client(world.installation.installation_id, token))

    return as_app(world, minted)


def test_the_app_and_its_installation_are_fetched(world: World) -> None:
    async def look(app: GitHubApp) -> Any:
        return await app.app(), await app.installations(), await app.installation(world.installation.installation_id)

    app, installations, installation = as_app(world, look)
    assert app.app_id == world.app.credentials.app_id
    assert installations == [installation]
    assert (installation.account_login, installation.state) == ("acme", "active")


def test_deliveries_can_be_listed_and_redelivered(world: World) -> None:
    world.shop.pushed()
    world.github.settle()

    async def look(app: GitHubApp) -> Any:
        since = world.clock.now() - timedelta(hours=1)
        found = [delivery async for delivery in app.deliveries(since) if delivery.event == "push"]
        await app.redeliver(found[0].id)
        return found[0]

    push = as_app(world, look)
    world.github.settle()
    guids = [headers["x-github-delivery"] for headers, _ in world.receiver.taken if headers["x-github-event"] == "push"]
    assert guids == [push.guid] * 2
    assert push.repository_id == world.shop.repository_id


def test_a_repository_is_read_and_followed_through_a_rename(world: World) -> None:
    async def look(client: InstallationClient) -> Any:
        listed = await client.repositories()
        head, side = await client.head("acme/shop", "main"), await client.head("acme/shop", "feature/x")
        with pytest.raises(NotFound):
            await client.head("acme/shop", "nowhere")
        world.shop.rename("store")
        moved = await client.repository("acme/shop", world.shop.repository_id)
        with pytest.raises(Moved):
            await client.create_check_run("acme/shop", screen_check(screened(), situation(head_sha=head)))
        return listed, head, side, moved

    listed, head, side, moved = as_installation(world, look)
    assert [repository.full_name for repository in listed] == ["acme/shop"]
    assert listed[0].private
    assert head != side
    assert moved.full_name == "acme/store"


def test_a_created_check_run_is_found(world: World) -> None:
    async def write(client: InstallationClient) -> Any:
        head = await client.head("acme/shop", "main")
        await client.turn_off_suites("acme/shop", world.app.credentials.app_id)
        fields = screen_check(screened(), situation(head_sha=head))
        before = await client.find_check_runs("acme/shop", head, fields.name, fields.external_id)
        written = await client.create_check_run("acme/shop", fields)
        return before, written, await client.find_check_runs("acme/shop", head, fields.name, fields.external_id)

    before, written, found = as_installation(world, write)
    assert before == []
    assert found == [written]
    assert len(world.shop.check_runs) == 1


def test_a_comment_is_read_and_reacted_to(world: World) -> None:
    world.shop.roles["alice"] = "maintain"
    comment = world.shop.comment("alice", "/screen", issue=3)

    async def answer(client: InstallationClient) -> Any:
        read = await client.comment("acme/shop", comment.comment_id)
        await client.react("acme/shop", comment.comment_id, "eyes")
        await client.react("acme/shop", comment.comment_id, "eyes")
        login = await client.user_login(read.author_id)
        right, wrong = read.author_id, read.author_id + 1
        return read, login, *[await client.role("acme/shop", login, who) for who in (right, wrong)]

    read, login, role, role_of_another = as_installation(world, answer)
    assert (read.body, read.author_login, read.issue_number) == ("/screen", "alice", 3)
    assert (login, role, role_of_another) == ("alice", "maintain", "none")


def test_a_token_without_permission_is_forbidden(world: World) -> None:
    async def write(client: InstallationClient) -> None:
        head = await client.head("acme/shop", "main")
        await client.create_check_run("acme/shop", screen_check(screened(), situation(head_sha=head)))

    with pytest.raises(Forbidden):
        as_installation(world, write, {"contents": "read", "metadata": "read"})


def test_suspended_and_deleted_installations_are_distinguished(world: World) -> None:
    async def never(client: InstallationClient) -> None:
        raise AssertionError("a token was minted")

    world.installation.suspend()
    with pytest.raises(Suspended):
        as_installation(world, never)
    assert as_app(world, lambda app: app.installation(world.installation.installation_id)).state == "suspended"
    world.installation.unsuspend()
    world.installation.uninstall()
    with pytest.raises(InstallationGone):
        as_installation(world, never)
    with pytest.raises(InstallationGone):
        as_app(world, lambda app: app.installation(world.installation.installation_id))


def test_an_expired_token_is_a_bad_token(world: World) -> None:
    async def wait(client: InstallationClient) -> None:
        world.clock.advance(timedelta(hours=2))
        await client.repositories()

    with pytest.raises(BadToken):
        as_installation(world, wait)
