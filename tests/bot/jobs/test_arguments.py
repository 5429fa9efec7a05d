"""Arguments survive the table, join as they should, and malformed ones parse to ids of no row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bot.jobs.arguments import (
    ButtonCommand,
    CommentCommand,
    DuplicateCheckRuns,
    JobArguments,
    PostJob,
    PrepareJob,
    ReplyAboutRun,
    ReplyWithText,
    RunEnded,
    RunQueued,
    RunRefused,
    ScreenJob,
    ShowAgain,
    SyncRepositoryJob,
    parse_command,
    parse_post,
    parse_prepare,
    parse_reply,
    parse_result,
    parse_screen,
    parse_sync_repository,
)

Parse = Callable[[Mapping[str, Any]], object]


def test_arguments_come_back_from_the_table_as_they_were(subtests: pytest.Subtests) -> None:
    cases: list[tuple[JobArguments, Parse, dict[str, Any], str]] = [
        (SyncRepositoryJob(), parse_sync_repository, {}, ""),
        (SyncRepositoryJob(remeasure=True), parse_sync_repository, {"remeasure": True}, ""),
        (ScreenJob(), parse_screen, {}, ""),
        (ScreenJob(force=True), parse_screen, {"force": True}, ""),
        (PostJob(), parse_post, {}, ""),
        (PostJob(again=True), parse_post, {"again": True}, "again/"),
        (
            PostJob(again=True, head_sha="a", suite=True),
            parse_post,
            {"again": True, "head_sha": "a", "suite": True},
            "again/a",
        ),
        (PrepareJob(7), parse_prepare, {"run_id": 7}, "7"),
        (ReplyAboutRun(7), parse_reply, {"run_id": 7}, "7"),
        (ReplyWithText(3), parse_reply, {"reply_id": 3}, "reply/3"),
        (RunEnded(7), parse_result, {"run_id": 7}, "7"),
        (RunQueued(7), parse_result, {"queued": 7}, "queued/7"),
        (RunRefused("skip", "a"), parse_result, {"refused": "skip", "head_sha": "a"}, "refused/a"),
        (DuplicateCheckRuns(7), parse_post, {"duplicates_of": 7}, "duplicates/7"),
        (ShowAgain("a"), parse_result, {"again": True, "head_sha": "a"}, "again/a"),
        (
            ShowAgain("a", "assay/finetune/1"),
            parse_result,
            {"again": True, "head_sha": "a", "external_id": "assay/finetune/1"},
            "again/a",
        ),
    ]
    for arguments, parse, stored, key in cases:
        with subtests.test(arguments=arguments, parse=parse, stored=stored, key=key):
            assert (arguments.dump(), arguments.key) == (stored, key)
            assert parse(stored) == arguments


def test_a_command_is_a_comment_or_a_button() -> None:
    comment: dict[str, Any] = {
        "comment_id": 5,
        "sender_id": 9,
        "issue_number": 1,
        "command": "/screen",
        "on_pull_request": True,
    }
    assert parse_command(comment) == CommentCommand(5, 9, 1, "/screen", unclear=False)
    button: dict[str, Any] = {"button": "finetune", "sender_id": 9, "check_run_id": 4, "head_sha": "a"}
    assert parse_command(button) == ButtonCommand("finetune", 9, 4)


def test_a_request_that_joins_another_undoes_nothing_of_it() -> None:
    assert parse_screen({**ScreenJob(force=True).dump(), **ScreenJob().dump()}) == ScreenJob(force=True)


@pytest.mark.parametrize("value", [None, "7", 7.5, [7]])
def test_an_id_that_is_no_number_is_the_id_of_no_row(value: Any) -> None:
    assert parse_prepare({"run_id": value}) == PrepareJob(0)
    assert parse_reply({}) == ReplyWithText(0)
    assert parse_result({"queued": value}) == RunQueued(0)


@pytest.mark.parametrize("value", [None, 7, ["a"]])
def test_a_text_that_is_none_is_empty(value: Any) -> None:
    assert parse_result({"again": True, "head_sha": value}) == ShowAgain("")
