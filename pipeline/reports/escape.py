"""Text from a repository, made harmless to look at: no control character, no reordering, no endless string.

HTML is escaped by the template engine; this is about what escaping leaves alone: bidirectional overrides that make
a name read as another one, terminal escape sequences, NUL, lone surrogates that no encoder takes, a subject of 1 MB.
"""

from __future__ import annotations

import unicodedata

LONGEST = 200
ELLIPSIS = "…"

# Emoji and several scripts are spelled with the two joiners; they reorder nothing.
_JOINERS = "\u200c\u200d"


def inert(text: str, longest: int = LONGEST) -> str:
    r"""The first `longest` characters of `text`, what does not print shown as `\n`, `\x1b`, `\u202e` and so on.

    Takes time in `longest`, not in the length of the text. Doing it twice changes nothing but the cut.
    """
    head = text[:longest]
    if not head.isprintable():
        head = "".join(c if c.isprintable() else _shown(c) for c in head)
    return head + ELLIPSIS if len(text) > longest else head


def _shown(character: str) -> str:
    if character in _JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def encodable(text: str) -> str:
    r"""`text` as it is, but for lone surrogates (paths that are not UTF-8), which become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()
