"""The one line of a comment that may be written down: a command of ours, with nothing but options that we know.

A command stands at the very start of the comment, so a quote, a code block or an HTML comment cannot hold one. The
line is put together again from the words that were recognised: nothing else that a person wrote passes. What resembles
words that were not is found out when the comment is read again, from GitHub: it is not kept until then.
"""

from __future__ import annotations

import re
from typing import Final

from bot.commands.grammar import NAMES, Command, Unclear, nearest_usage, parse_words

LONGEST_LINE: Final = 200

_LINE: Final = re.compile(rf"[^\r\n]{{0,{LONGEST_LINE + 1}}}")


def command_of(body: str) -> tuple[str, bool] | None:
    """The command that a comment begins with, and whether it is clear; None where it begins with none.

    Of a command with words that we do not know only the first word is kept, and it is not clear: `/finetune cancle`
    must not start what it was meant to end.
    """
    words = _words(body)
    if not words:
        return None
    return (words[0], False) if isinstance(_parse(body, words), Unclear) else (" ".join(words), True)


def parse_comment(body: str) -> Command | None:
    """The command that a comment begins with; None where it begins with none."""
    words = _words(body)
    return _parse(body, words) if words else None


def _words(body: str) -> list[str]:
    """Of the first line; none where it does not begin with a command of ours."""
    if not body.startswith(NAMES):
        return []
    words = _line(body).split()
    return words if words[0] in NAMES else []


def _parse(body: str, words: list[str]) -> Command:
    found = parse_words(words) if len(_line(body)) <= LONGEST_LINE else None
    return found or Unclear(nearest_usage(words))


def _line(body: str) -> str:
    """The first line, or as much of a longer one as shows that it is too long."""
    line = _LINE.match(body)
    assert line is not None  # it matches the empty line too
    return line[0]
