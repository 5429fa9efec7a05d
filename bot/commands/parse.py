"""Parse the command at the start of a comment, and return the only part of a comment that is ever stored.

A command must be the first line that is not blank, so that quotes, code blocks and HTML comments cannot contain one.
What pasting, mail clients and keyboards add is removed first: white space, invisible characters, typographic dashes, a
full stop at the end. The stored line consists of recognised words alone; nothing else that a person wrote gets through.
Unknown words are not stored either: the closest usage is worked out when the comment is read from GitHub again.
"""

from __future__ import annotations

import re
from typing import Final

from bot.commands.grammar import NAMES, Command, Unclear, nearest_usage, parse_words

MAX_LINE: Final = 200
MAX_SPACES: Final = 3  # before a command; Markdown shows a line with more as code
MAX_TABS: Final = 1  # is code to Markdown too, but nobody types it: it is what pasting leaves

# Format characters and others that nobody sees: soft hyphen, zero-width and directional marks, joiners, variation
# selectors and the byte order mark.
_INVISIBLE: Final = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
_ALSO_INVISIBLE: Final = "\u3164\ufe00-\ufe0f\ufeff\uffa0\x00-\x08\x0e-\x1b\x7f"
_REMOVED: Final = re.compile(rf"[{_INVISIBLE}{_ALSO_INVISIBLE}]")
_BLANK: Final = re.compile(rf"[\s{_INVISIBLE}{_ALSO_INVISIBLE}]*+")
_LINE: Final = re.compile(rf"[^\r\n]{{0,{MAX_LINE + 1}}}")
_NEWLINE: Final = re.compile(r"[\r\n]")
_DASHES: Final = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"  # typographic; phones and word processors make them of `--`
_LEADING_DASHES: Final = re.compile(rf"(?<!\S)-?[{_DASHES}][-{_DASHES}]*+")
_DASH: Final = re.compile(rf"[{_DASHES}]")
_STOPS: Final = ".!\u3002\u2026"  # at the end of a line: no part of its last word
_PUNCTUATION: Final = f"{_STOPS},:;?"  # after a name: no part of it


def command_of(body: str) -> tuple[str, bool] | None:
    """Return the command that a comment begins with, and whether it is clear; None if it begins with no command.

    A command with unknown words is reduced to its first word and is not clear: `/finetune cancle` must not start a run.
    """
    words, exact = _first_words(body)
    if not words:
        return None
    return (words[0], False) if isinstance(_parse(words, exact), Unclear) else (" ".join(words), True)


def parse_comment(body: str) -> Command | None:
    """Return the command that a comment begins with; None if it begins with no command."""
    words, exact = _first_words(body)
    return _parse(words, exact) if words else None


def _parse(words: list[str], exact: bool) -> Command:
    command = parse_words(words) if exact else None
    return command or Unclear(nearest_usage(words))


def _first_words(body: str) -> tuple[list[str], bool]:
    """Return the words of the first line as the grammar spells them, and whether nothing was lost by that.

    There are none if the line does not begin with the name of a command, or is code.
    """
    line = _first_line(body)
    written = _plain(line).split()
    if written:
        written[-1] = written[-1].rstrip(_STOPS)
    if not written:
        return [], False
    name = written[0].lower().rstrip(_PUNCTUATION)
    if name not in NAMES:
        return [], False
    return [name, *_spelt(written[1:])], len(written[0]) == len(name) and len(line) <= MAX_LINE


def _spelt(written: list[str]) -> list[str]:
    """Return words in lower case, except the name of a model, and `--base-model=X` as two words."""
    words: list[str] = []
    for word in written:
        option, _, value = word.partition("=") if word.startswith("-") else (word, "", "")
        words.append(option if words[-1:] == ["--base-model"] else option.lower())
        words += [value] if value else []
    return [word for word in words if word]


def _first_line(body: str) -> str:
    """Return the first line that is not blank, without its indent, cut just beyond MAX_LINE; empty if it is code."""
    blank = _BLANK.match(body)
    assert blank is not None  # the pattern matches nothing at all
    indent = _NEWLINE.split(blank[0])[-1]
    if indent.count(" ") > MAX_SPACES or indent.count("\t") > MAX_TABS:
        return ""
    line = _LINE.match(body, blank.end())
    assert line is not None  # the pattern matches an empty line
    return line[0]


def _plain(line: str) -> str:
    """Return a line without invisible characters and with plain dashes."""
    return _DASH.sub("-", _LEADING_DASHES.sub("--", _REMOVED.sub("", line)))
