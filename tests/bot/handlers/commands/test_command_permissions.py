"""Permissions: every role and command, public and private, by comment and by button."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.store.configs import save_repository_config
from bot.store.jobs import queue_figures
from tests.builders.command_harness import Harness, open_harness

COMMANDS = ("/finetune", "/finetune cancel", "/screen", "/finetune status", "/assay help", "/finetune cancle")
COSTS, LOOKS = COMMANDS[:3], COMMANDS[3:]
ROLES = ("none", "read", "triage", "write", "maintain", "admin")

# What a repository's configuration asks for, and the roles that may then give the commands that cost something.
MAY_COST = {"": ("maintain", "admin"), "write": ("write", "maintain", "admin"), "admin": ("admin",)}
CASES = [("", True), ("", False), ("write", False), ("admin", True)]
MAY_LOOK = ("write", "maintain", "admin")


def jobs(harness: Harness) -> int:
    """That are open or running, but for commands."""
    figures = harness.read(lambda c: queue_figures(c, harness.world.clock.now()))
    return sum(figure.jobs for figure in figures if figure.kind != "command")


def configures(harness: Harness, permission: str) -> None:
    config: dict[str, Any] = {"permission": permission} if permission else {}
    stored = {"head_sha": harness.world.head, "found": True, "config": config, "problems": []}
    harness.write(lambda c: save_repository_config(c, *harness.ids, stored))


@pytest.mark.parametrize(("permission", "private"), CASES)
def test_the_role_decides_and_a_refusal_is_one_reaction_without_text(
    tmp_path: Path, permission: str, private: bool
) -> None:
    with open_harness(tmp_path, private=private) as harness:
        harness.gives_budget()
        harness.is_measured()
        configures(harness, permission)
        for role in ROLES:
            for body in COMMANDS:
                harness.world.clock.advance(timedelta(hours=2))
                harness.world.shop.roles["somebody"] = role
                before = len(harness.runs()), jobs(harness), len(harness.our_comments())
                comment = harness.says("somebody", body)
                reactions = [reaction["content"] for reaction in comment.reactions]
                allowed = role in (MAY_COST[permission] if body in COSTS else MAY_LOOK)
                assert (reactions[0] == "eyes") is allowed, (role, body)
                if not allowed:
                    assert reactions == ["confused"], (role, body)
                    assert (len(harness.runs()), jobs(harness), len(harness.our_comments())) == before
                harness.answers()


@pytest.mark.parametrize(("permission", "private"), CASES)
def test_a_button_passes_the_same_check_as_a_comment(tmp_path: Path, permission: str, private: bool) -> None:
    with open_harness(tmp_path, private=private) as harness:
        harness.gives_budget()
        harness.is_measured()
        configures(harness, permission)
        run = harness.check_run()
        for role in ROLES:  # weakest first: nothing is there before the first that may
            harness.world.shop.roles["somebody"] = role
            for button in ("finetune", "rescreen"):
                harness.world.clock.advance(timedelta(hours=2))
                harness.presses("somebody", button, run)
            assert bool(harness.runs()) is (role in MAY_COST[permission]), role
            assert bool(harness.jobs("screen")) is (role in MAY_COST[permission]), role
        assert harness.our_comments() == []


def test_a_custom_role_counts_as_its_base_role(tmp_path: Path) -> None:
    with open_harness(tmp_path) as harness:
        harness.world.github.custom_roles.update({"release lead": "maintain", "tester": "triage"})
        harness.world.shop.roles.update(ann="release lead", bob="tester")
        assert harness.says("ann", "/screen").reactions[0]["content"] == "eyes"
        assert harness.says("bob", "/assay help").reactions[0]["content"] == "confused"


def test_an_operators_ceiling_cannot_be_loosened(tmp_path: Path) -> None:
    with open_harness(tmp_path) as harness:
        harness.policy = replace(harness.policy, permission="admin")
        configures(harness, "write")
        harness.world.shop.roles.update(ann="maintain", eve="admin")
        assert harness.says("ann", "/screen").reactions[0]["content"] == "confused"
        assert harness.says("eve", "/screen").reactions[0]["content"] == "eyes"
