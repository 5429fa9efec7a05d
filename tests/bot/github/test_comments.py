"""Our comments on the simulated GitHub: created, updated, and found among others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound
from tests.bot.github.test_client_in_a_world import as_installation
from tests.rows import each_row
from tests.simulator.world import World, make_world

MARKER = "<!-- assay:reply 7 -->"


@pytest.fixture(params=["api.github.com", "ghes-3.19"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path, request.param) as made:
        yield made


def test_a_comment_is_created_and_updated(world: World) -> None:
    async def write(client: InstallationClient) -> Any:
        number = await client.create_comment("acme/shop", 2, f"Queued.\n\n{MARKER}")
        await client.update_comment("acme/shop", number, f"Running.\n\n{MARKER}")
        return number

    number = as_installation(world, write)
    (comment,) = world.shop.comments
    assert (comment.comment_id, comment.issue_number, comment.body) == (number, 2, f"Running.\n\n{MARKER}")


def test_a_comment_is_found_by_marker_despite_quotes(world: World) -> None:
    async def look(client: InstallationClient) -> Any:
        before = await client.find_comment("acme/shop", 2, MARKER, since)
        made = await client.create_comment("acme/shop", 2, f"Queued.\n\n{MARKER}")
        elsewhere = await client.find_comment("acme/shop", 1, MARKER, since)
        later = await client.find_comment("acme/shop", 2, MARKER, world.clock.now() + timedelta(hours=1))
        return before, made, elsewhere, later, await client.find_comment("acme/shop", 2, MARKER, since)

    since = world.clock.now()
    for number in range(120):  # more than a page
        world.shop.comment("eve", f"> {MARKER} {number}", issue=2)
    before, made, elsewhere, later, found = as_installation(world, look)
    assert (before, elsewhere, later) == (None, None, None)
    assert found == made


def test_comments_of_another_app_do_not_count(world: World) -> None:
    other = world.github.register_app(world.receiver.url, name="Other")
    world.shop.add_comment(other.bot, MARKER, 2, other)
    since = world.clock.now()
    assert as_installation(world, lambda client: client.find_comment("acme/shop", 2, MARKER, since)) is None


def test_deleted_comments_and_locked_conversations_are_distinguished(world: World) -> None:
    async def change(client: InstallationClient) -> None:
        number = await client.create_comment("acme/shop", 2, "Queued.")
        world.shop.locked.add(2)
        with pytest.raises(Forbidden):
            await client.update_comment("acme/shop", number, "Running.")
        with pytest.raises(Forbidden):
            await client.create_comment("acme/shop", 2, "Queued.")
        world.github.comments[number].delete()
        with pytest.raises(NotFound):
            await client.update_comment("acme/shop", number, "Running.")
        with pytest.raises(NotFound):
            await client.create_comment("acme/shop", 99, "Queued.")

    as_installation(world, change)


@each_row(
    ("role", "told"), [("maintain", "maintain"), ("release lead", "maintain"), ("tester", "triage"), ("none", "none")]
)
def test_a_custom_role_counts_as_the_role_it_extends(world: World, role: str, told: str) -> None:
    world.github.custom_roles.update({"release lead": "maintain", "tester": "triage"})
    world.github.account("ann")
    world.shop.roles["ann"] = role
    assert as_installation(world, lambda client: client.role("acme/shop", "ann")) == told
