"""Words to commands, and words that are none to what was probably meant."""

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


@pytest.mark.parametrize(("line", "command"), CLEAR.items())
def test_a_command_is_parsed(line: str, command: Command) -> None:
    assert parse_words(line.split()) == command
    assert parse_comment(f"{line}\nplease") == command


@pytest.mark.parametrize(
    "line",
    [
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
    ],
)
def test_what_is_not_clear_is_no_command(line: str) -> None:
    assert parse_words(line.split()) is None


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("/finetune cancle", "/finetune cancel"),
        ("/finetune CANCEL", "/finetune cancel"),
        ("/finetune stauts", "/finetune status"),
        ("/finetune statsu please", "/finetune status"),
        ("/finetune --forse", "/finetune --force"),
        ("/finetune -force", "/finetune --force"),
        ("/finetune --base-model ../x", "/finetune --base-model OWNER/NAME"),
        ("/finetune --model a/b", "/finetune --base-model OWNER/NAME"),
        ("/finetune my password is hunter2", "/assay help"),
        ("/screen everything", "/screen"),
        ("/assay", "/assay help"),
        ("/assay hlep", "/assay help"),
        ("/assay xyz", "/assay help"),
    ],
)
def test_the_nearest_usage_is_found(line: str, usage: str) -> None:
    assert parse_comment(line) == Unclear(usage)


def test_every_usage_is_a_command() -> None:
    for usage in USAGES:
        assert parse_words(usage.split()) is not None
        assert command_of(usage) == (usage, True)
    assert NAMES == ("/assay", "/finetune", "/screen")


@given(st.sampled_from(NAMES), st.text())
def test_what_is_nearest_is_always_a_usage_of_ours(name: str, words: str) -> None:
    assert nearest_usage([name, *words.split()]) in USAGES
    command = parse_comment(f"{name} {words}")
    assert not isinstance(command, Unclear) or command.nearest in USAGES


@given(st.text())
def test_ingress_and_command_time_agree_on_every_comment(body: str) -> None:
    for text in (body, f"/finetune {body}", f"/screen{body}", f"/assay help{body}"):
        kept, command = command_of(text), parse_comment(text)
        assert (kept is None) is (command is None)
        if kept is not None and kept[1]:
            assert parse_words(kept[0].split()) == command
        elif kept is not None:
            assert isinstance(command, Unclear)
