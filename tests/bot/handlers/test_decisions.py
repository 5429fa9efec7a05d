"""Pure decisions of the handlers: who is served, which commands count, what follows a failure, where reading starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from bot.github.client import Comment
from bot.handlers.commands.command import MAX_PER_REPOSITORY, MAX_PER_USER, why_dropped, why_not
from bot.handlers.installations.allowed import AllowedAccounts
from bot.handlers.installations.reconcile import drifted, parse_cursor
from bot.handlers.installations.sync import batches, decide_owed, decide_screening
from bot.handlers.registry import HANDLERS
from bot.handlers.screening.screen import DISK_PAUSE, decide
from bot.jobs.arguments import CommentCommand, ScreenJob, parse_command
from bot.jobs.lanes import CAPS, KINDS, lane_of
from bot.jobs.retry import Again, Failed, Gone, StillAway
from bot.messages.reasons import CODE_UNREADABLE
from bot.records import Fact, Installation, InstallationMemory, Job, JobKind, Repository, RepositoryMemory
from bot.sandbox.screening_task import FAILURE_KINDS, FailureKind, ScreeningFailed
from tests.bot.conftest import ACME, SHOP
from tests.simulator.clocks import START

MINUTE = timedelta(minutes=1)


def test_every_kind_of_job_has_a_handler_a_lane_and_a_cap() -> None:
    kinds = set(get_args(JobKind))
    assert kinds == set(HANDLERS.jobs) == set(CAPS) == {kind for lane in KINDS.values() for kind in lane}
    assert all(kind in KINDS[lane_of(kind)] for kind in kinds)
    assert CAPS["screen"] == 2


def test_allowed_accounts_are_matched_without_case() -> None:
    cases: list[tuple[tuple[str, ...], bool]] = [
        ((), True),
        (("acme",), True),
        (("other",), False),
        (("acme", "other"), True),
    ]
    for allowed, served in cases:
        assert AllowedAccounts(allowed).serves(replace(ACME, account_login="AcMe")) is served


def test_an_allowed_account_is_known_by_its_number_once_it_was_seen() -> None:
    allowed = AllowedAccounts(("acme",)).learn(ACME)
    renamed = replace(ACME, account_login="apex")
    squatter = replace(ACME, account_id=2)
    assert allowed.serves(renamed)
    assert not allowed.serves(squatter), "another account has taken the old name"
    assert not AllowedAccounts(("acme",)).serves(renamed), "never seen under the name on the list"
    assert allowed.learn(squatter) == allowed == allowed.learn(renamed)


def test_what_a_change_of_an_installation_owes_its_repositories() -> None:
    def with_permissions(**permissions: str) -> Installation:
        return replace(ACME, permissions={**ACME.permissions, **permissions})

    listed = InstallationMemory(listed_at=START)
    cases: list[tuple[str, Installation | None, InstallationMemory, Installation, str]] = [
        ("new", None, InstallationMemory(), ACME, ""),
        ("unchanged", ACME, listed, ACME, ""),
        ("renamed", ACME, listed, replace(ACME, account_login="apex"), ""),
        ("unsuspended", replace(ACME, state="suspended"), listed, ACME, "post"),
        ("allowed again", replace(ACME, state="refused"), listed, ACME, "post"),
        ("may write check runs", replace(ACME, permissions={}), listed, ACME, "repair"),
        ("may read issues", ACME, listed, with_permissions(issues="read"), "screen"),
        ("may read pull requests", ACME, listed, with_permissions(pull_requests="write"), "screen"),
        ("may write issues too", with_permissions(issues="read"), listed, with_permissions(issues="write"), "repair"),
        ("may read issues no more", with_permissions(issues="read"), listed, ACME, ""),
        ("owed since a listing failed", ACME, replace(listed, owed="screen"), ACME, "screen"),
        ("owed a repair since then", ACME, replace(listed, owed="repair"), ACME, "repair"),
        ("owed an answer since then", ACME, replace(listed, owed="post"), ACME, "post"),
        ("unheard of for days", ACME, replace(listed, listed_at=START - timedelta(days=3)), ACME, "post"),
    ]
    wrong = [
        (name, got, owed)
        for name, before, memory, now, owed in cases
        if (got := decide_owed(before, memory, now, START)) != owed
    ]
    assert wrong == []


def test_an_installation_that_differs_on_github_is_synchronized() -> None:
    cases: list[tuple[list[Installation], list[Installation], tuple[str, ...], list[int]]] = [
        ([ACME], [ACME], (), []),
        ([], [ACME], (), [10]),  # installed while nobody listened
        ([ACME], [], (), [10]),  # uninstalled, likewise
        ([ACME], [replace(ACME, state="suspended")], (), [10]),
        ([ACME], [replace(ACME, permissions={})], (), [10]),
        ([ACME], [ACME], ("other",), [10]),  # not served any more
        ([replace(ACME, state="refused")], [ACME], ("other",), []),
        ([replace(ACME, state="refused")], [ACME], (), [10]),  # served from now on
    ]
    wrong = [
        (ours, theirs, allowed, got, found)
        for ours, theirs, allowed, found in cases
        if (got := drifted(ours, theirs, AllowedAccounts(allowed))) != found
    ]
    assert wrong == []


MEASURED = RepositoryMemory(SHOP, measured_at=START)


def test_a_new_repository_or_default_branch_is_screened() -> None:
    cases: list[tuple[RepositoryMemory | None, Repository, bool, object]] = [
        (None, SHOP, False, ScreenJob()),
        (RepositoryMemory(SHOP), SHOP, False, ScreenJob()),
        (MEASURED, SHOP, False, None),
        (MEASURED, replace(SHOP, full_name="acme/store", private=True), False, None),
        (MEASURED, replace(SHOP, default_branch="trunk"), False, ScreenJob(force=True)),
        (MEASURED, SHOP, True, ScreenJob(force=True)),
    ]
    wrong = [
        (memory, now, remeasure, got, screening)
        for memory, now, remeasure, screening in cases
        if (got := decide_screening(memory, now, remeasure=remeasure)) != screening
    ]
    assert wrong == []


def test_batches_leave_nothing_out() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


FINAL: list[FailureKind] = ["too_large", "unreadable", "memory", "time", "crash"]


def test_every_kind_of_failure_ends_eventually(subtests: pytest.Subtests) -> None:
    for kind in FAILURE_KINDS:
        with subtests.test(kind=kind):
            last = decide(ScreeningFailed(kind, "why"), 5, START)
            if kind == "disk_full":
                assert last == Again(START + DISK_PAUSE, "why", counts=False)
            elif kind in ("refused", "unavailable"):  # for days, whatever the number of attempts
                assert isinstance(last, StillAway)
                assert last.reason == (CODE_UNREADABLE if kind == "refused" else "why")
            else:
                assert last == Failed("why")


def test_a_transient_failure_is_retried() -> None:
    cases: list[tuple[FailureKind, object]] = [
        ("disk_full", Again(START + DISK_PAUSE, "why", counts=False)),
        ("refused", Again(START, CODE_UNREADABLE)),
        ("missing", Gone("why")),
        ("interrupted", Again(START + timedelta(seconds=15), "why")),
        ("killed", Again(START + timedelta(seconds=15), "why")),
        *((kind, Failed("why")) for kind in FINAL),
    ]
    wrong = [
        (kind, got, expected)
        for kind, expected in cases
        if (got := decide(ScreeningFailed(kind, "why"), 1, START)) != expected
    ]
    assert wrong == []


def command(job_id: int, minutes: float, sender_id: int = 9, comment_id: int = 0) -> Job:
    arguments: dict[str, int] = {"sender_id": sender_id, "comment_id": comment_id or job_id}
    made_at = START + minutes * MINUTE
    return Job(job_id, "command", 10, 100, arguments, "done", 1, made_at, made_at)


MINE = command(50, 0)


def test_a_flood_of_commands_is_dropped_before_github_is_asked() -> None:
    cases: list[tuple[list[Job], str]] = [
        ([], ""),
        ([MINE], ""),
        ([command(49, -10_000, comment_id=50)], "this comment was handled before"),
        ([command(51, 1, comment_id=50)], ""),  # that one is the copy
        ([replace(command(49, -1, comment_id=50), state="failed")], ""),  # a redelivery asks for what is undone
        ([command(n, -n) for n in range(1, MAX_PER_USER)], ""),
        ([command(n, -n) for n in range(1, MAX_PER_USER + 1)], "more than 5 commands of one user in an hour"),
        ([command(n, -n - 60) for n in range(1, MAX_PER_USER + 1)], ""),
        ([command(n, -1, sender_id=n) for n in range(1, 21)], "more than 20 commands in an hour"),
        ([command(n, -1, sender_id=n + 100) for n in range(1, MAX_PER_REPOSITORY)], ""),
    ]
    wrong = [(others, got, why) for others, why in cases if (got := why_dropped(MINE, others, START)) != why]
    assert wrong == []


SAID = Comment(9, "ann", "User", "/screen\nplease", 1)


def test_a_comment_is_believed_only_as_it_is_now(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Comment, dict[str, int], str]] = [
        (SAID, {}, ""),
        (SAID, {"sender_id": 8}, "the comment has another author"),
        (replace(SAID, author_type="Bot"), {}, "the comment has another author"),
        (replace(SAID, body="never mind"), {}, "the comment was edited"),
        (replace(SAID, body="\u200b\n /Screen."), {}, ""),
        (replace(SAID, body="    /screen"), {}, "the comment was edited"),
        (replace(SAID, body="/screen all"), {}, "the comment was edited"),
        (replace(SAID, body="/screen all"), {"unclear": True}, ""),
    ]
    for comment, arguments, why in cases:
        with subtests.test(comment=comment, arguments=arguments, why=why):
            delivered: dict[str, Fact] = {"command": "/screen", "comment_id": 1, "sender_id": 9, **arguments}
            command = parse_command(delivered)
            assert isinstance(command, CommentCommand)
            assert why_not(comment, command) == why


def test_a_malformed_cursor_is_none(subtests: pytest.Subtests) -> None:
    for value in (None, 7, "", "yesterday", "2026-03-02T09:00:00"):
        with subtests.test(value=value):
            assert parse_cursor(value) is None
            assert parse_cursor(START.isoformat()) == START
