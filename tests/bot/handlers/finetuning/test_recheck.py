"""When a run's turn comes: the comment is read again, and the role asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.handlers.finetuning.recheck import (
    EDITED,
    GONE,
    NO_ROLE,
    NOBODY,
    NOT_SERVED,
    UNREADABLE,
    asks_for,
    still_allowed,
)
from bot.jobs.context import Work
from bot.records import Job, Run
from bot.store.configs import save_repository_config
from bot.store.installations import set_installation_state
from tests.builders.command_desk import SMALL, USUAL, Desk, open_desk
from tests.builders.runs import a_run
from tests.simulator.clocks import START


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        opened.world.shop.roles.update(ann="maintain")
        opened.gives_budget()
        opened.is_measured()
        yield opened


def allowed(desk: Desk, of: Run | None = None) -> str:
    asked = of or desk.runs()[0]
    job = Job(1, "prepare", *desk.ids, {}, "running", 1, START, START)
    return str(desk.runner.run(still_allowed(Work(job, desk.parts), asked)))


def test_a_command_that_is_as_it_was_may_go_on(desk: Desk) -> None:
    comment = desk.says("ann", "/finetune --force\nplease")
    assert allowed(desk) == ""
    comment.edit("/finetune --force\nthank you")
    assert allowed(desk) == ""


CHANGES: dict[str, tuple[Callable[[Desk, Any], object], str]] = {
    "deleted": (lambda desk, comment: comment.delete(), GONE),
    "edited": (lambda desk, comment: comment.edit("never mind"), EDITED),
    "ended": (lambda desk, comment: comment.edit("/finetune cancel"), EDITED),
    "another model": (lambda desk, comment: comment.edit(f"/finetune --base-model {SMALL}"), EDITED),
    "account deleted": (
        lambda desk, comment: setattr(comment, "user", desk.world.github.account("ghost")),
        NOBODY,
    ),
    "configuration": (
        lambda desk, comment: desk.write(
            lambda c: save_repository_config(
                c, *desk.ids, {"head_sha": "", "found": True, "config": {"permission": "admin"}, "problems": []}
            )
        ),
        NO_ROLE,
    ),
    "role lost": (lambda desk, comment: desk.world.shop.roles.update(ann="write"), NO_ROLE),
    "suspended": (
        lambda desk, comment: desk.write(lambda c: set_installation_state(c, desk.ids[0], "suspended")),
        NOT_SERVED,
    ),
}


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_whatever_changed_meanwhile_ends_it_with_the_reason(
    desk: Desk, change: Callable[[Desk, Any], object], why: str
) -> None:
    comment = desk.says("ann", "/finetune")
    change(desk, comment)
    assert allowed(desk) == why


def test_for_a_button_the_role_alone_is_asked_for(desk: Desk) -> None:
    desk.presses("ann", "finetune", desk.check_run())
    assert allowed(desk) == ""
    desk.world.shop.roles["ann"] = "read"
    assert allowed(desk) == NO_ROLE
    assert (
        allowed(desk, a_run(asked_by=999_999, comment_id=0, installation_id=desk.ids[0], repository_id=desk.ids[1]))
        == NOBODY
    )


def test_a_renamed_account_keeps_its_command(desk: Desk) -> None:
    desk.says("ann", "/finetune")
    desk.world.github.account("ann").rename("anna")
    desk.world.shop.roles["anna"] = "maintain"
    assert allowed(desk) == ""


def test_a_run_that_nobody_asked_for_needs_nobody(desk: Desk) -> None:
    requests = len(desk.world.github.requests)
    assert allowed(desk, a_run(asked_by=0, audit=True)) == ""
    assert len(desk.world.github.requests) == requests


@pytest.mark.parametrize(
    ("body", "changes", "same"),
    [
        ("/finetune", {}, True),
        ("/finetune", {"forced": True}, False),
        ("/finetune --force", {"forced": True}, True),
        ("/finetune --force", {}, True),  # the verdict was RUN then
        (f"/finetune --base-model {SMALL}", {"base_model": SMALL}, True),
        (f"/finetune --base-model {SMALL}", {}, False),
        ("/finetune now", {}, False),
        ("/finetune status", {}, False),
        ("please /finetune", {}, False),
    ],
)
def test_which_comment_asks_for_a_run(body: str, changes: dict[str, Any], same: bool) -> None:
    assert asks_for(body, a_run(**{"base_model": USUAL} | changes)) is same


def test_reasons_are_told_apart() -> None:
    assert len({GONE, EDITED, NO_ROLE, NOBODY, NOT_SERVED, UNREADABLE}) == 6
