"""Before a run is prepared, its comment and its requester's role are checked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.handlers.finetuning.recheck import asks_for, why_not_allowed
from bot.jobs.context import JobContext
from bot.messages.reasons import (
    ACCOUNT_DELETED,
    COMMENT_DELETED,
    COMMENT_EDITED,
    COMMENTS_UNREADABLE,
    NOT_SERVED,
    ROLE_LOST,
)
from bot.records import Job, Run
from bot.repo_config.effective import load_effective_config
from bot.store.configs import save_repository_config
from bot.store.installations import load_installation, set_installation_state
from bot.store.repositories import load_repository
from tests.builders.command_harness import SMALL, USUAL, Harness, open_harness
from tests.builders.runs import a_run
from tests.simulator.clocks import START


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with open_harness(tmp_path) as opened:
        opened.world.shop.roles.update(ann="maintain")
        opened.gives_budget()
        opened.is_measured()
        yield opened


def allowed(harness: Harness, of: Run | None = None) -> str:
    asked = of or harness.runs()[0]
    job = Job(1, "prepare", *harness.ids, {}, "running", 1, START, START)
    context = JobContext(job, harness.parts)

    async def ask() -> str:
        async with harness.database.read() as connection:
            installation = await load_installation(connection, harness.ids[0])
            memory = await load_repository(connection, *harness.ids)
            config = await load_effective_config(connection, harness.policy, *harness.ids)
        return await why_not_allowed(context, asked, installation, memory, config)

    return harness.runner.run(ask())


def test_an_unchanged_command_may_continue(harness: Harness) -> None:
    comment = harness.says("ann", "/finetune --force\nplease")
    assert allowed(harness) == ""
    comment.edit("/finetune --force\nthank you")
    assert allowed(harness) == ""


CHANGES: dict[str, tuple[Callable[[Harness, Any], object], str]] = {
    "deleted": (lambda harness, comment: comment.delete(), COMMENT_DELETED),
    "edited": (lambda harness, comment: comment.edit("never mind"), COMMENT_EDITED),
    "ended": (lambda harness, comment: comment.edit("/finetune cancel"), COMMENT_EDITED),
    "another model": (lambda harness, comment: comment.edit(f"/finetune --base-model {SMALL}"), COMMENT_EDITED),
    "account deleted": (
        lambda harness, comment: setattr(comment, "user", harness.world.github.account("ghost")),
        ACCOUNT_DELETED,
    ),
    "configuration": (
        lambda harness, comment: harness.write(
            lambda c: save_repository_config(
                c, *harness.ids, {"head_sha": "", "found": True, "config": {"permission": "admin"}, "problems": []}
            )
        ),
        ROLE_LOST,
    ),
    "role lost": (lambda harness, comment: harness.world.shop.roles.update(ann="write"), ROLE_LOST),
    "suspended": (
        lambda harness, comment: harness.write(lambda c: set_installation_state(c, harness.ids[0], "suspended")),
        NOT_SERVED,
    ),
}


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_a_change_meanwhile_ends_the_run_with_the_reason(
    harness: Harness, change: Callable[[Harness, Any], object], why: str
) -> None:
    comment = harness.says("ann", "/finetune")
    change(harness, comment)
    assert allowed(harness) == why


def test_for_a_button_only_the_role_is_checked(harness: Harness) -> None:
    harness.presses("ann", "finetune", harness.check_run())
    assert allowed(harness) == ""
    harness.world.shop.roles["ann"] = "read"
    assert allowed(harness) == ROLE_LOST
    gone = a_run(asked_by=999_999, comment_id=None, installation_id=harness.ids[0], repository_id=harness.ids[1])
    assert allowed(harness, gone) == ACCOUNT_DELETED


def test_a_renamed_account_keeps_its_command(harness: Harness) -> None:
    harness.says("ann", "/finetune")
    harness.world.github.account("ann").rename("anna")
    harness.world.shop.roles["anna"] = "maintain"
    assert allowed(harness) == ""


def test_a_run_without_a_requester_needs_no_permission(harness: Harness) -> None:
    requests = len(harness.world.github.requests)
    assert allowed(harness, a_run(asked_by=None, audit=True)) == ""
    assert len(harness.world.github.requests) == requests


def test_a_comment_must_still_be_the_command_that_opened_the_run() -> None:
    cases: list[tuple[str, dict[str, Any], bool]] = [
        ("/finetune", {}, True),
        ("/finetune", {"forced": True}, False),
        ("/finetune --force", {"forced": True}, True),
        ("/finetune --force", {}, True),  # the verdict was RUN then
        (f"/finetune --base-model {SMALL}", {"base_model": SMALL}, True),
        (f"/finetune --base-model {SMALL}", {}, False),
        ("/finetune now", {}, False),
        ("/finetune status", {}, False),
        ("please /finetune", {}, False),
    ]
    wrong = [
        (body, changes, got, same)
        for body, changes, same in cases
        if (got := asks_for(body, a_run(**{"base_model": USUAL} | changes))) is not same
    ]
    assert wrong == []


def test_reasons_are_distinct() -> None:
    assert len({COMMENT_DELETED, COMMENT_EDITED, ROLE_LOST, ACCOUNT_DELETED, NOT_SERVED, COMMENTS_UNREADABLE}) == 6
