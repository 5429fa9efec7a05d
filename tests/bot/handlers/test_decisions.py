"""Who is served, who may command, what a failed screening comes to, where reconciling begins: values in, values out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from bot.github.client import Comment
from bot.handlers.commands.command import MOST_OF_A_REPOSITORY, MOST_OF_A_USER, why_dropped, why_not
from bot.handlers.installations.reconcile import drifted, parse_cursor
from bot.handlers.installations.sync import batches, follow, is_allowed
from bot.handlers.registry import HANDLERS
from bot.handlers.screening.screen import DISK_PAUSE, decide
from bot.jobs.lanes import CAPS, KINDS, lane_of
from bot.jobs.retry import Again, Failed, Gone
from bot.messages.reasons import CODE_UNREADABLE
from bot.records import Installation, Job, JobKind, RepositoryMemory
from bot.sandbox.screening_task import FAILURE_KINDS, FailureKind, ScreeningFailed
from tests.bot.conftest import ACME, SHOP
from tests.simulator.clocks import START

MINUTE = timedelta(minutes=1)


def test_every_kind_of_job_has_a_handler_a_lane_and_a_cap() -> None:
    kinds = set(get_args(JobKind))
    assert kinds == set(HANDLERS) == set(CAPS) == {kind for lane in KINDS.values() for kind in lane}
    assert all(kind in KINDS[lane_of(kind)] for kind in kinds)
    assert CAPS["screen"] == 2


@pytest.mark.parametrize(
    ("allowed", "served"), [((), True), (("acme",), True), (("other",), False), (("acme", "other"), True)]
)
def test_who_is_served(allowed: tuple[str, ...], served: bool) -> None:
    assert is_allowed(replace(ACME, account_login="AcMe"), allowed) is served


@pytest.mark.parametrize(
    ("ours", "theirs", "allowed", "found"),
    [
        ([ACME], [ACME], (), []),
        ([], [ACME], (), [10]),  # installed while nobody listened
        ([ACME], [], (), [10]),  # uninstalled, likewise
        ([ACME], [replace(ACME, state="suspended")], (), [10]),
        ([ACME], [replace(ACME, permissions={})], (), [10]),
        ([ACME], [ACME], ("other",), [10]),  # not served any more
        ([replace(ACME, state="refused")], [ACME], ("other",), []),
        ([replace(ACME, state="refused")], [ACME], (), [10]),  # served from now on
    ],
)
def test_an_installation_that_github_describes_otherwise_is_asked_about(
    ours: list[Installation], theirs: list[Installation], allowed: tuple[str, ...], found: list[int]
) -> None:
    assert drifted(ours, theirs, allowed) == found


MEASURED = RepositoryMemory(SHOP, measured_at=START)


@pytest.mark.parametrize(
    ("memory", "now", "asked", "arguments"),
    [
        (None, SHOP, False, {}),
        (RepositoryMemory(SHOP), SHOP, False, {}),
        (MEASURED, SHOP, False, None),
        (MEASURED, replace(SHOP, full_name="acme/store", private=True), False, None),
        (MEASURED, replace(SHOP, default_branch="trunk"), False, {"force": True}),
        (MEASURED, SHOP, True, {"force": True}),
    ],
)
def test_what_is_new_or_has_another_branch_is_screened(
    memory: RepositoryMemory | None, now: object, asked: bool, arguments: object
) -> None:
    assert follow(memory, now, asked=asked) == arguments  # type: ignore[arg-type]


def test_batches_leave_nothing_out() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


FINAL: list[FailureKind] = ["too_large", "unreadable", "memory", "time", "crash"]


@pytest.mark.parametrize("kind", FAILURE_KINDS)
def test_every_kind_of_failure_has_an_end(kind: FailureKind) -> None:
    last = decide(ScreeningFailed(kind, "why"), 5, START)
    if kind == "disk_full":
        assert last == Again(START + DISK_PAUSE, "why", counts=False)
    else:
        assert last == Failed(CODE_UNREADABLE if kind == "refused" else "why")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("disk_full", Again(START + DISK_PAUSE, "why", counts=False)),
        ("refused", Again(START, CODE_UNREADABLE)),
        ("missing", Gone("why")),
        ("unavailable", Again(START + timedelta(seconds=15), "why")),
        ("interrupted", Again(START + timedelta(seconds=15), "why")),
        *((kind, Failed("why")) for kind in FINAL),
    ],
)
def test_what_may_pass_is_tried_again(kind: FailureKind, expected: object) -> None:
    assert decide(ScreeningFailed(kind, "why"), 1, START) == expected


def command(job_id: int, minutes: float, sender_id: int = 9, comment_id: int = 0) -> Job:
    arguments: dict[str, int] = {"sender_id": sender_id, "comment_id": comment_id or job_id}
    made_at = START + minutes * MINUTE
    return Job(job_id, "command", 10, 100, arguments, "done", 1, made_at, made_at)


MINE = command(50, 0)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ([], ""),
        ([MINE], ""),
        ([command(49, -10_000, comment_id=50)], "this comment was answered before"),
        ([command(51, 1, comment_id=50)], ""),  # that one is the copy
        ([replace(command(49, -1, comment_id=50), state="failed")], ""),  # a redelivery asks for what is undone
        ([command(n, -n) for n in range(1, MOST_OF_A_USER)], ""),
        ([command(n, -n) for n in range(1, MOST_OF_A_USER + 1)], "more than 5 commands of one user in an hour"),
        ([command(n, -n - 60) for n in range(1, MOST_OF_A_USER + 1)], ""),
        ([command(n, -1, sender_id=n) for n in range(1, 21)], "more than 20 commands in an hour"),
        ([command(n, -1, sender_id=n + 100) for n in range(1, MOST_OF_A_REPOSITORY)], ""),
    ],
)
def test_a_flood_of_commands_is_dropped_before_github_is_asked(others: list[Job], why: str) -> None:
    assert why_dropped(MINE, others, START) == why


SAID = Comment(9, "ann", "User", "/screen\nplease", 1)


@pytest.mark.parametrize(
    ("comment", "arguments", "why"),
    [
        (SAID, {}, ""),
        (SAID, {"sender_id": 8}, "the comment is somebody else's"),
        (replace(SAID, author_type="Bot"), {}, "the comment is somebody else's"),
        (replace(SAID, body="never mind"), {}, "the comment says something else now"),
        (replace(SAID, body=" /screen"), {}, "the comment says something else now"),
        (replace(SAID, body="/screen all"), {}, "the comment says something else now"),
        (replace(SAID, body="/screen all"), {"unclear": True}, ""),
    ],
)
def test_a_comment_is_believed_only_as_it_is_now(comment: Comment, arguments: dict[str, int], why: str) -> None:
    assert why_not(comment, {"command": "/screen", "comment_id": 1, "sender_id": 9, **arguments}) == why


@pytest.mark.parametrize("value", [None, 7, "", "yesterday", "2026-03-02T09:00:00"])
def test_a_bookmark_that_is_no_time_is_none(value: object) -> None:
    assert parse_cursor(value) is None
    assert parse_cursor(START.isoformat()) == START
