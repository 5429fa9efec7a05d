"""Make untrusted text from a repository safe to display.

The template engine escapes HTML. This module handles what that leaves alone: bidirectional overrides that make a name
read as another, terminal escape sequences, NUL, lone surrogates that cannot be encoded, and subjects of 1 MB.
"""

from __future__ import annotations

import unicodedata

MAX_LENGTH = 200
ELLIPSIS = "…"

# The zero-width joiners occur in emoji and several scripts and do not reorder text.
_JOINERS = "\u200c\u200d"


def inert(text: str, max_length: int = MAX_LENGTH) -> str:
    r"""Return the first `max_length` characters of `text`, with unprintable ones as `\n`, `\x1b`, `\u202e` and so on.

    Takes time proportional to `max_length`, not to the length of the text. Idempotent except for truncation.
    """
    head = text[:max_length]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else _escape(c) for c in head)
    return head + ELLIPSIS if len(text) > max_length else head


def _escape(character: str) -> str:
    if character in _JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def encodable(text: str) -> str:
    r"""Return `text` with lone surrogates (from paths that are not UTF-8) replaced by `\udcff` and the like."""
    return text.encode("utf-8", "backslashreplace").decode()
