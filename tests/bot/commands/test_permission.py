"""The table itself; test_command_permissions.py tests it through GitHub."""

from __future__ import annotations

from typing import get_args

import pytest

from bot.commands.grammar import Command, Finetune, Help
from bot.commands.permission import ROLES, TABLE, may, who_may
from bot.records import Permission


def test_every_role_and_command_is_in_the_table() -> None:
    assert tuple(TABLE) == ROLES
    assert all(set(rights) == set(get_args(Command)) for rights in TABLE.values())


@pytest.mark.parametrize("least", get_args(Permission))
def test_a_stronger_role_may_do_everything_that_a_weaker_one_may(least: Permission) -> None:
    for command in (Finetune(), Help()):
        allowed = [may(role, command, least) for role in ROLES]
        assert allowed == sorted(allowed)


@pytest.mark.parametrize("role", ["", "owner", "Admin", "security"])
def test_unknown_roles_have_no_permissions(role: str) -> None:
    assert not may(role, Finetune(), "write")
    assert not may(role, Help(), "write")


@pytest.mark.parametrize(
    ("least", "words"), [("write", "write, maintain or admin"), ("maintain", "maintain or admin"), ("admin", "admin")]
)
def test_the_permitted_roles_are_listed_in_words(least: Permission, words: str) -> None:
    assert who_may(least) == words
