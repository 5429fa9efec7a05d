"""Words → commands, and unknown words → the closest usage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.grammar import (
    NAMES,
    USAGES,
    Cancel,
    Command,
    Finetune,
    Help,
    Screen,
    Status,
    Unclear,
    nearest_usage,
    parse_words,
)
from bot.commands.parse import command_of, parse_comment

CLEAR: dict[str, Command] = {
    "/finetune": Finetune(),
    "/finetune --force": Finetune(force=True),
    "/finetune --base-model a/b": Finetune(base_model="a/b"),
    "/finetune --base-model a/b --force": Finetune(True, "a/b"),
    "/finetune --force --base-model a/b": Finetune(True, "a/b"),
    "/finetune status": Status(),
    "/finetune cancel": Cancel(),
    "/screen": Screen(),
    "/assay help": Help(),
}


def test_a_command_is_parsed(subtests: pytest.Subtests) -> None:
    for line, command in CLEAR.items():
        with subtests.test(line=line, command=command):
            assert parse_words(line.split()) == command
            assert parse_comment(f"{line}\nplease") == command


def test_an_unclear_command_is_not_parsed() -> None:
    cases: list[str] = [
        "/finetune --force --force",
        "/finetune --base-model a --base-model b",
        "/finetune --base-model",
        "/finetune --base-model --force",
        "/finetune status --force",
        "/finetune --Force",
        "/screen now",
        "/assay",
        "/deploy",
        "",
    ]
    wrong = [(line, got) for line in cases if (got := parse_words(line.split())) is not None]
    assert wrong == []


def test_unknown_words_are_mapped_to_the_closest_usage() -> None:
    cases: list[tuple[str, str]] = [
        ("/finetune cancle", "/finetune cancel"),
        ("/finetune CANCLE", "/finetune cancel"),
        ("/finetune stauts", "/finetune status"),
        ("/finetune statsu please", "/finetune status"),
        ("/finetune --forse", "/finetune --force"),
        ("/finetune -force", "/finetune --force"),
        ("/finetune --base-model ../x", "/finetune --base-model OWNER/NAME"),
        ("/finetune --model a/b", "/finetune --base-model OWNER/NAME"),
        ("/finetune --base-model=../x", "/finetune --base-model OWNER/NAME"),
        ("/finetune --force=yes", "/finetune --force"),
        ("/finetune my password is hunter2", "/finetune"),
        ("/finetune please", "/finetune"),
        ("/finetune help", "/assay help"),
        ("/finetune?", "/finetune"),
        ("/finetune, cancel", "/finetune cancel"),
        ("/screen help", "/assay help"),
        ("/screen please", "/screen"),
        ("/assay screen", "/screen"),
        ("/assay status", "/finetune status"),
        ("/screen everything", "/screen"),
        ("/assay", "/assay help"),
        ("/assay hlep", "/assay help"),
        ("/assay xyz", "/assay help"),
    ]
    wrong = [
        (line, usage, got, expected)
        for line, usage in cases
        if (got := parse_comment(line)) != (expected := Unclear(usage))
    ]
    assert wrong == []


def test_every_usage_is_a_command() -> None:
    for usage in USAGES:
        assert parse_words(usage.split()) is not None
        assert command_of(usage) == (usage, True)
    assert NAMES == ("/assay", "/finetune", "/screen")


@given(st.sampled_from(NAMES), st.text())
def test_the_closest_usage_is_always_one_of_ours(name: str, words: str) -> None:
    assert nearest_usage([name, *words.split()]) in USAGES
    command = parse_comment(f"{name} {words}")
    assert not isinstance(command, Unclear) or command.nearest in USAGES


@given(st.text())
def test_the_receiver_and_the_handler_agree_on_every_comment(body: str) -> None:
    for text in (body, f"/finetune {body}", f"/screen{body}", f"/assay help{body}"):
        kept, command = command_of(text), parse_comment(text)
        assert (kept is None) is (command is None)
        if kept is not None and kept[1]:
            assert parse_words(kept[0].split()) == command
        elif kept is not None:
            assert isinstance(command, Unclear)
