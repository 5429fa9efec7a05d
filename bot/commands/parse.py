"""Parse the command at the start of a comment, and return the only part of a comment that is ever stored.

A command must be at the very start, so that quotes, code blocks and HTML comments cannot contain one. The stored line
consists of recognised words alone; nothing else that a person wrote gets through. Unknown words are not stored either:
the closest usage is worked out when the comment is read from GitHub again.
"""

from __future__ import annotations

import re
from typing import Final

from bot.commands.grammar import NAMES, Command, Unclear, nearest_usage, parse_words

MAX_LINE: Final = 200

_LINE: Final = re.compile(rf"[^\r\n]{{0,{MAX_LINE + 1}}}")


def command_of(body: str) -> tuple[str, bool] | None:
    """Return the command that a comment begins with, and whether it is clear; None if it begins with no command.

    A command with unknown words is reduced to its first word and is not clear: `/finetune cancle` must not start a run.
    """
    words = _words(body)
    if not words:
        return None
    return (words[0], False) if isinstance(_parse(body, words), Unclear) else (" ".join(words), True)


def parse_comment(body: str) -> Command | None:
    """Return the command that a comment begins with; None if it begins with no command."""
    words = _words(body)
    return _parse(body, words) if words else None


def _words(body: str) -> list[str]:
    """Return the words of the first line; empty if it does not begin with a command."""
    if not body.startswith(NAMES):
        return []
    words = _line(body).split()
    return words if words[0] in NAMES else []


def _parse(body: str, words: list[str]) -> Command:
    command = parse_words(words) if len(_line(body)) <= MAX_LINE else None
    return command or Unclear(nearest_usage(words))


def _line(body: str) -> str:
    """Return the first line, cut just beyond MAX_LINE."""
    line = _LINE.match(body)
    assert line is not None  # the pattern matches an empty line
    return line[0]
